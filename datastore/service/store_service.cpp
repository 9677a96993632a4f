// SPDX-License-Identifier: Apache-2.0
#include "datastore/service/store_service.h"

#include <deque>
#include <optional>
#include <utility>

#include "base/log.h"
#include "margay/store.grpc.pb.h"
#include "proto/transport.h"

namespace margay::datastore {
namespace {

namespace pb = store::v1;
using transport::to_proto;

constexpr std::size_t kChunk = 256 * 1024;
constexpr std::size_t kMaxOps = 10'000;  // in one request
// Of events that a watcher has not taken; beyond it the watch ends and the watcher lists again.
constexpr std::size_t kMaxQueued = 16U << 20;

template <typename From>  // Entry, Event
std::size_t move_to(From& from, pb::StoreEntry* to) {
  const auto size = from.key.size() + from.value.size() + 16;
  to->set_key(std::move(from.key));
  to->set_value(std::move(from.value));
  to->set_revision(from.revision.value());
  return size;
}

std::optional<Write> write_of(pb::WriteOp& op) {
  Write w;
  switch (op.kind()) {
    case pb::CREATE:
      w.kind = Write::Kind::create;
      break;
    case pb::UPDATE:
      w.kind = Write::Kind::update;
      break;
    case pb::PUT:
      w.kind = Write::Kind::put;
      break;
    case pb::DELETE:
      w.kind = Write::Kind::remove;
      break;
    default:  // from a newer client, or from a broken one
      return std::nullopt;
  }
  w.key = std::move(*op.mutable_key());
  w.value = std::move(*op.mutable_value());
  w.expected = Revision(op.expected());
  return w;
}

// A stream of ready-made messages at the client's pace. Everything but the On... functions runs on
// the loop. Keeps itself until gRPC is done with it.
template <typename Message>
class Stream : public grpc::ServerWriteReactor<Message>,
               public std::enable_shared_from_this<Stream<Message>> {
 public:
  explicit Stream(EventLoop& loop) : loop_(loop) {}
  void start() {
    self_ = this->shared_from_this();
    loop_.post([self = self_] {
      if (!self->ending_) self->begin();
    });
  }
  void OnWriteDone(bool ok) override {
    loop_.post([self = this->shared_from_this(), ok] {
      self->writing_ = false;
      self->queue_.pop_front();
      if (!ok) self->cancelled();
      self->advance();
    });
  }
  void OnCancel() override {
    loop_.post([self = this->shared_from_this()] {
      self->cancelled();
      self->advance();
    });
  }
  void OnDone() override { const auto self = std::move(self_); }

 protected:
  virtual void begin() = 0;
  virtual void ended() {}  // nothing more will be sent
  void push(Message m) {
    if (ending_) return;
    queue_.push_back(std::move(m));
    advance();
  }
  void end() {
    ending_ = true;
    ended();
    advance();
  }
  [[nodiscard]] bool ending() const { return ending_; }
  [[nodiscard]] std::size_t queued() const { return queue_.size(); }

 private:
  void cancelled() {
    if (queue_.size() > 1) queue_.erase(queue_.begin() + (writing_ ? 1 : 0), queue_.end());
    status_ = grpc::Status::CANCELLED;
    ending_ = true;
    ended();
  }
  void advance() {
    if (writing_ || finished_) return;
    if (!queue_.empty() && status_.ok()) {
      writing_ = true;
      this->StartWrite(&queue_.front());
    } else if (ending_) {
      finished_ = true;
      this->Finish(status_);
    }
  }
  EventLoop& loop_;
  std::shared_ptr<Stream> self_;
  std::deque<Message> queue_;
  bool writing_ = false;
  bool ending_ = false;
  bool finished_ = false;
  grpc::Status status_;
};

class ListStream : public Stream<pb::ListChunk> {
 public:
  ListStream(EventLoop& loop, Store& store, std::string prefix)
      : Stream(loop), store_(store), prefix_(std::move(prefix)) {}

 private:
  void begin() override {
    auto listing = store_.list(prefix_);
    pb::ListChunk chunk;
    if (!listing) {
      to_proto(listing.error(), chunk.mutable_error());
      push(std::move(chunk));
      return end();
    }
    chunk.set_revision(listing->revision.value());
    chunk.set_oldest(listing->oldest.value());
    chunk.set_store_id(listing->store_id);
    std::size_t size = 0;
    for (auto& e : listing->entries) {
      const auto bytes = e.key.size() + e.value.size();
      if (size != 0 && size + bytes > kChunk) {
        push(std::exchange(chunk, {}));
        size = 0;
      }
      size += move_to(e, chunk.add_entries());
    }
    push(std::move(chunk));
    end();
  }
  Store& store_;
  std::string prefix_;
};

class WatchStream : public Stream<pb::WatchMessage> {
 public:
  WatchStream(EventLoop& loop, Store& store, const pb::WatchRequest& request)
      : Stream(loop), store_(store), prefix_(request.prefix()), from_(request.from()) {}

 private:
  void begin() override {
    watch_ = store_.watch(prefix_, from_,
                          {[this](const std::vector<Event>& e, Revision upto) { events(e, upto); },
                           [this](const Error& e) { stop(e); }});
  }
  void ended() override { watch_.reset(); }

  void events(const std::vector<Event>& events, Revision upto) {
    if (queued() == 0) queued_bytes_ = 0;
    pb::WatchMessage m;
    std::size_t size = 0;
    for (auto e : events) {
      if (size > kChunk) {
        m.set_upto(m.events(m.events_size() - 1).revision());
        queued_bytes_ += std::exchange(size, 0);
        push(std::exchange(m, {}));
      }
      m.add_events()->set_deleted(e.deleted);
      size += move_to(e, m.mutable_events(m.events_size() - 1));
    }
    m.set_upto(upto.value());
    queued_bytes_ += size;
    push(std::move(m));
    if (queued_bytes_ > kMaxQueued) {
      stop(make_error(Code::compacted, "watcher of " + prefix_ + " is too slow"));
    }
  }
  void stop(const Error& error) {
    if (ending()) return;
    pb::WatchMessage m;
    to_proto(error, m.mutable_ended());
    push(std::move(m));
    end();
  }

  Store& store_;
  std::string prefix_;
  Revision from_;
  std::size_t queued_bytes_ = 0;  // since the queue was last empty
  std::unique_ptr<WatchHandle> watch_;
};

// The CN of the caller's certificate; none without TLS.
std::optional<std::string> certificate_name(const grpc::CallbackServerContext& context) {
  const auto auth = context.auth_context();
  const auto types = auth->FindPropertyValues("transport_security_type");
  if (types.empty() || types[0] == "insecure") return std::nullopt;
  const auto names = auth->FindPropertyValues("x509_common_name");
  return names.empty() ? std::string() : std::string(names[0].data(), names[0].size());
}

class StoreService final : public pb::Store::CallbackService {
 public:
  StoreService(EventLoop& loop, Store& store, std::vector<std::string> writers)
      : loop_(loop), store_(store), writers_(std::move(writers)) {}

  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context, const pb::GetRequest* request,
                                pb::GetResponse* response) override {
    auto* reactor = context->DefaultReactor();
    loop_.post([this, request, response, reactor] {
      auto entry = store_.get(request->key());
      if (entry) {
        move_to(*entry, response->mutable_entry());
      } else {
        to_proto(entry.error(), response->mutable_error());
      }
      reactor->Finish(grpc::Status::OK);
    });
    return reactor;
  }

  grpc::ServerUnaryReactor* Write(grpc::CallbackServerContext* context,
                                  const pb::WriteRequest* request,
                                  pb::WriteResponse* response) override {
    auto* reactor = context->DefaultReactor();
    const auto name = certificate_name(*context);
    if (name && !transport::matches_any(*name, writers_)) {
      log::warn("store_write_refused", kv("cn", *name), kv("peer", context->peer()));
      reactor->Finish({grpc::StatusCode::PERMISSION_DENIED,
                       "the certificate of '" + *name +
                           "' may only read; margay-typha's --writer-cn names who may write"});
      return reactor;
    }
    std::vector<datastore::Write> writes;
    bool known = static_cast<std::size_t>(request->ops_size()) <= kMaxOps;
    for (auto op : request->ops()) {
      auto w = write_of(op);
      if (!w) known = false;
      if (!known) break;
      writes.push_back(std::move(*w));
    }
    if (!known) {
      reactor->Finish(
          {grpc::StatusCode::INVALID_ARGUMENT,
           "a write of unknown kind, or more than " + std::to_string(kMaxOps) + " in one request"});
      return reactor;
    }
    loop_.post([this, response, reactor, w = std::move(writes)]() mutable {
      store_.submit(std::move(w), [response, reactor](Store::WriteResults results) {
        for (const auto& r : results) {
          auto* out = response->add_results();
          r.ok() ? out->set_revision(r.value().value()) : to_proto(r.error(), out->mutable_error());
        }
        reactor->Finish(grpc::Status::OK);
      });
    });
    return reactor;
  }

  grpc::ServerWriteReactor<pb::ListChunk>* List(grpc::CallbackServerContext*,
                                                const pb::ListRequest* request) override {
    const auto stream = std::make_shared<ListStream>(loop_, store_, request->prefix());
    stream->start();
    return stream.get();
  }

  grpc::ServerWriteReactor<pb::WatchMessage>* Watch(grpc::CallbackServerContext*,
                                                    const pb::WatchRequest* request) override {
    const auto stream = std::make_shared<WatchStream>(loop_, store_, *request);
    stream->start();
    return stream.get();
  }

 private:
  EventLoop& loop_;
  Store& store_;
  const std::vector<std::string> writers_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_store_service(EventLoop& loop, Store& store,
                                                  std::vector<std::string> writers) {
  return std::make_unique<StoreService>(loop, store, std::move(writers));
}

}  // namespace margay::datastore
