// SPDX-License-Identifier: Apache-2.0
#include "datastore/remote/remote_store.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "margay/store.grpc.pb.h"
#include "proto/pending_calls.h"
#include "proto/transport.h"

namespace margay::datastore {
namespace {

namespace pb = store::v1;
using transport::from_proto;
using transport::PendingCallsPtr;

constexpr std::size_t kRequestBytes = 1U << 20;  // of writes in one request
constexpr std::size_t kRequestOps = 1000;

Event event_of(pb::StoreEntry& e) {
  return {std::move(*e.mutable_key()), std::move(*e.mutable_value()), e.deleted(),
          Revision(e.revision())};
}

void to_op(Write& w, pb::WriteOp* op) {
  switch (w.kind) {
    case Write::Kind::create:
      op->set_kind(pb::CREATE);
      break;
    case Write::Kind::update:
      op->set_kind(pb::UPDATE);
      break;
    case Write::Kind::put:
      op->set_kind(pb::PUT);
      break;
    case Write::Kind::remove:
      op->set_kind(pb::DELETE);
      break;
  }
  op->set_key(std::move(w.key));
  op->set_value(std::move(w.value));
  op->set_expected(w.expected.value());
}

// One watch. Reads one message at a time, when the one before has been taken by the loop. `live_`
// is touched on the loop only; the lock orders a read that the loop starts against the end.
class WatchCall : public grpc::ClientReadReactor<pb::WatchMessage> {
 public:
  WatchCall(EventLoop& loop, PendingCallsPtr pending, WatchCallbacks callbacks, std::string address)
      : loop_(loop),
        pending_(std::move(pending)),
        callbacks_(std::move(callbacks)),
        address_(std::move(address)) {}

  static void start(const std::shared_ptr<WatchCall>& call, pb::Store::Stub& stub) {
    call->self_ = call;
    call->pending_->add();
    stub.async()->Watch(&call->context_, &call->request_, call.get());
    call->AddHold();
    call->StartCall();
    call->read();
  }
  pb::WatchRequest& request() { return request_; }

  void stop() {
    live_ = false;
    context_.TryCancel();
    finish(false);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return finish(true);
    auto m = std::make_shared<pb::WatchMessage>(std::move(message_));
    bool ending = false;
    {
      const std::lock_guard lock(mu_);
      reading_ = false;
      ending = ending_;
    }
    if (ending) return finish(true);
    loop_.post([self = self_, m] { self->taken(*m); });
  }
  void OnDone(const grpc::Status& status) override {
    const auto pending = pending_;
    loop_.post([self = std::move(self_), status] {  // where this object ends
      self->end(status.ok() ? make_error(Code::unavailable, self->address_ + ": watch ended")
                            : transport::error_from(status, self->address_));
    });
    pending->done();
  }

 private:
  void read() {
    {
      const std::lock_guard lock(mu_);
      if (ending_ || std::exchange(reading_, true)) return;
    }
    message_.Clear();
    StartRead(&message_);
  }
  // No read is started any more; when none is under way either, the hold goes, exactly once.
  void finish(bool read_done) {
    bool release = false;
    {
      const std::lock_guard lock(mu_);
      ending_ = true;
      if (read_done) reading_ = false;
      if (!reading_) release = !std::exchange(released_, true);
    }
    if (release) RemoveHold();
  }
  void taken(pb::WatchMessage& m) {
    if (!live_) return;
    if (m.has_ended()) {
      end(from_proto(m.ended()));
    } else {
      std::vector<Event> events;
      for (auto& e : *m.mutable_events()) events.push_back(event_of(e));
      callbacks_.events(events, Revision(m.upto()));
    }
    read();
  }
  void end(const Error& error) {
    if (std::exchange(live_, false) && callbacks_.ended) callbacks_.ended(error);
  }

  EventLoop& loop_;
  const PendingCallsPtr pending_;
  const WatchCallbacks callbacks_;
  const std::string address_;
  grpc::ClientContext context_;
  pb::WatchRequest request_;
  pb::WatchMessage message_;
  std::shared_ptr<WatchCall> self_;
  bool live_ = true;
  std::mutex mu_;
  bool reading_ = false;
  bool ending_ = false;
  bool released_ = false;
};

class RemoteWatch : public WatchHandle {
 public:
  explicit RemoteWatch(std::shared_ptr<WatchCall> call) : call_(std::move(call)) {}
  ~RemoteWatch() override { call_->stop(); }

 private:
  std::shared_ptr<WatchCall> call_;
};

class RemoteStore : public Store {
 public:
  RemoteStore(EventLoop& loop, RemoteOptions options, std::shared_ptr<grpc::Channel> channel)
      : loop_(loop),
        options_(std::move(options)),
        channel_(std::move(channel)),
        stub_(pb::Store::NewStub(channel_)) {}
  ~RemoteStore() override {
    {
      const std::lock_guard lock(mu_);
      for (auto* c : calls_) c->TryCancel();
    }
    pending_->wait();
  }

  Result<Listing> list(std::string_view prefix) override {
    grpc::ClientContext context;
    prepare(context);
    pb::ListRequest request;
    request.set_prefix(std::string(prefix));
    const auto reader = stub_->List(&context, request);
    Listing listing;
    std::optional<Error> error;
    pb::ListChunk chunk;
    while (reader->Read(&chunk)) {
      if (chunk.has_error()) error = from_proto(chunk.error());
      if (!chunk.store_id().empty()) {
        listing.store_id = chunk.store_id();
        listing.revision = Revision(chunk.revision());
        listing.oldest = Revision(chunk.oldest());
      }
      for (auto& e : *chunk.mutable_entries()) {
        listing.entries.push_back(
            {std::move(*e.mutable_key()), std::move(*e.mutable_value()), Revision(e.revision())});
      }
    }
    const auto status = reader->Finish();
    if (!status.ok()) return transport::error_from(status, options_.address);
    if (error) return std::move(*error);
    return listing;
  }

  Result<Entry> get(std::string_view key) override {
    grpc::ClientContext context;
    prepare(context);
    pb::GetRequest request;
    request.set_key(std::string(key));
    pb::GetResponse response;
    const auto status = stub_->Get(&context, request, &response);
    if (!status.ok()) return transport::error_from(status, options_.address);
    if (response.has_error()) return from_proto(response.error());
    auto& e = *response.mutable_entry();
    return Entry{std::move(*e.mutable_key()), std::move(*e.mutable_value()),
                 Revision(e.revision())};
  }

  Result<Revision> create(std::string_view key, std::string_view value) override {
    return write({Write::Kind::create, std::string(key), std::string(value), {}});
  }
  Result<Revision> update(std::string_view key, std::string_view value,
                          Revision expected) override {
    return write({Write::Kind::update, std::string(key), std::string(value), expected});
  }
  Result<Revision> put(std::string_view key, std::string_view value) override {
    return write({Write::Kind::put, std::string(key), std::string(value), {}});
  }
  Result<Revision> remove(std::string_view key, Revision expected) override {
    return write({Write::Kind::remove, std::string(key), {}, expected});
  }

  void submit(std::vector<Write> writes, std::function<void(WriteResults)> done) override;

  std::unique_ptr<WatchHandle> watch(std::string_view prefix, Revision from,
                                     WatchCallbacks callbacks) override {
    auto call =
        std::make_shared<WatchCall>(loop_, pending_, std::move(callbacks), options_.address);
    call->request().set_prefix(std::string(prefix));
    call->request().set_from(from.value());
    WatchCall::start(call, *stub_);
    return std::make_unique<RemoteWatch>(std::move(call));
  }

 private:
  // Waits for the connection, so that a server which is just starting is met; if there is none in
  // time, the call that follows fails at once and says why.
  void prepare(grpc::ClientContext& context) {
    const auto deadline = std::chrono::system_clock::now() + options_.timeout;
    context.set_deadline(deadline);
    static_cast<void>(
        channel_->WaitForConnected(std::chrono::system_clock::now() + options_.timeout / 2));
  }

  Result<Revision> write(Write w) {
    grpc::ClientContext context;
    prepare(context);
    pb::WriteRequest request;
    to_op(w, request.add_ops());
    pb::WriteResponse response;
    const auto status = stub_->Write(&context, request, &response);
    if (!status.ok()) return transport::error_from(status, options_.address);
    if (response.results_size() != 1) return unanswered();
    return result_of(response.results(0));
  }
  [[nodiscard]] Error unanswered() const {
    return make_error(Code::internal, options_.address + ": answers do not match the writes");
  }
  static Result<Revision> result_of(const pb::WriteResult& r) {
    if (r.has_error()) return from_proto(r.error());
    return Revision(r.revision());
  }

  struct Submission;
  void send_next(const std::shared_ptr<Submission>& s);
  void answered(const std::shared_ptr<Submission>& s, const grpc::Status& status);

  EventLoop& loop_;
  RemoteOptions options_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<pb::Store::Stub> stub_;
  const PendingCallsPtr pending_ = std::make_shared<transport::PendingCalls>();
  std::mutex mu_;
  std::set<grpc::ClientContext*> calls_;  // under way, to be cancelled at the end
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

// A batch of writes, sent in requests of bounded size, one after the other.
struct RemoteStore::Submission {
  std::vector<Write> writes;
  std::size_t next = 0;  // not sent yet
  std::function<void(WriteResults)> done;
  WriteResults results;
  std::shared_ptr<grpc::ClientContext> context;
  pb::WriteRequest request;
  pb::WriteResponse response;
};

void RemoteStore::submit(std::vector<Write> writes, std::function<void(WriteResults)> done) {
  auto s = std::make_shared<Submission>();
  s->writes = std::move(writes);
  s->done = std::move(done);
  if (s->writes.empty()) {
    loop_.post([s] { s->done({}); });
    return;
  }
  send_next(s);
}

void RemoteStore::send_next(const std::shared_ptr<Submission>& s) {
  s->request.Clear();
  s->response.Clear();
  std::size_t bytes = 0;
  while (s->next < s->writes.size() && bytes < kRequestBytes &&
         static_cast<std::size_t>(s->request.ops_size()) < kRequestOps) {
    auto& w = s->writes[s->next++];
    bytes += w.key.size() + w.value.size();
    to_op(w, s->request.add_ops());
  }
  s->context = std::make_shared<grpc::ClientContext>();
  s->context->set_wait_for_ready(true);
  s->context->set_deadline(std::chrono::system_clock::now() + options_.timeout);
  pending_->add();
  {
    const std::lock_guard lock(mu_);
    calls_.insert(s->context.get());
  }
  const auto finished = [this, s](const grpc::Status& status) {
    const auto pending = pending_;
    {
      const std::lock_guard lock(mu_);
      calls_.erase(s->context.get());
    }
    // gRPC drops its copy of `s` at some time later; the context must end on the loop.
    loop_.post([this, s, status, context = std::move(s->context),
                alive = std::weak_ptr<char>(alive_)]() mutable {
      context.reset();
      if (!alive.expired()) answered(s, status);
    });
    pending->done();
  };
  stub_->async()->Write(s->context.get(), &s->request, &s->response, finished);
}

void RemoteStore::answered(const std::shared_ptr<Submission>& s, const grpc::Status& status) {
  const auto sent = static_cast<std::size_t>(s->request.ops_size());
  if (status.ok() && static_cast<std::size_t>(s->response.results_size()) == sent) {
    for (const auto& r : s->response.results()) s->results.push_back(result_of(r));
    if (s->next < s->writes.size()) return send_next(s);
  } else {
    const auto error = status.ok() ? unanswered() : transport::error_from(status, options_.address);
    while (s->results.size() < s->writes.size()) s->results.emplace_back(error);
  }
  s->done(std::move(s->results));
}

}  // namespace

Result<std::unique_ptr<Store>> make_remote_store(EventLoop& loop, RemoteOptions options) {
  MARGAY_TRY(auto channel, transport::make_channel(options.address, options.tls));
  return std::unique_ptr<Store>(
      std::make_unique<RemoteStore>(loop, std::move(options), std::move(channel)));
}

}  // namespace margay::datastore
