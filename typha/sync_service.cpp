// SPDX-License-Identifier: Apache-2.0
#include "typha/sync_service.h"

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <optional>
#include <utility>

#include "base/log.h"

namespace margay::typha {
namespace {

grpc::Slice slice_of(std::string head) {
  return grpc::Slice(head.data(), head.size());  // copies: a head is small
}

grpc::Slice slice_of(const Body& body) {
  // gRPC reads only; its interface has no const.
  return grpc::Slice(
      const_cast<char*>(body->data()), body->size(),
      [](void* owner) { delete static_cast<Body*>(owner); }, new Body(body));
}

grpc::ByteBuffer buffer_of(Message m) {
  std::vector<grpc::Slice> slices;
  slices.reserve(m.bodies.size() + 1);
  slices.push_back(slice_of(std::move(m.head)));
  for (const auto& b : m.bodies) slices.push_back(slice_of(b));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

// One subscription. Everything but the On... functions runs on the loop. Keeps itself until gRPC is
// done with it.
class Stream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                     public Downstream,
                     public std::enable_shared_from_this<Stream> {
 public:
  Stream(EventLoop& loop, Fanout& fanout) : loop_(loop), fanout_(fanout) {}

  void start(std::optional<Subscriber> subscriber) {
    self_ = shared_from_this();
    loop_.post([self = self_, s = std::move(subscriber)]() mutable {
      if (!s) return self->finish({grpc::StatusCode::INVALID_ARGUMENT, "not a SubscribeRequest"});
      if (self->ending_) return;
      log::info("typha_client_connected", kv("node", s->node_name), kv("peer", s->peer),
                kv("resume", s->resume_revision.value()));
      self->node_ = s->node_name;
      self->id_ = self->fanout_.add(*self, std::move(*s));
    });
  }

  void send(Message message) override {
    writing_ = true;
    buffer_ = buffer_of(std::move(message));
    StartWrite(&buffer_);
  }

  void refuse(std::string reason) override {
    loop_.post([self = shared_from_this(), reason = std::move(reason)] {
      self->finish({grpc::StatusCode::FAILED_PRECONDITION, reason});
    });
  }

  void OnWriteDone(bool ok) override {
    loop_.post([self = shared_from_this(), ok] {
      self->writing_ = false;
      self->buffer_.Clear();
      if (self->ending_) return self->finish_now();
      if (!ok) return self->finish(grpc::Status::CANCELLED);
      self->fanout_.sent(self->id_);
    });
  }
  void OnCancel() override {
    loop_.post([self = shared_from_this()] { self->finish(grpc::Status::CANCELLED); });
  }
  void OnDone() override { const auto self = std::move(self_); }

 private:
  void finish(const grpc::Status& status) {
    if (std::exchange(ending_, true)) return;
    status_ = status;
    if (id_ != 0) {
      fanout_.remove(id_);
      log::info("typha_client_gone", kv("node", node_));
    }
    if (!writing_) finish_now();
  }
  void finish_now() { Finish(status_); }

  EventLoop& loop_;
  Fanout& fanout_;
  std::shared_ptr<Stream> self_;
  std::string node_;
  Fanout::Id id_ = 0;
  bool writing_ = false;
  bool ending_ = false;
  grpc::Status status_;
  grpc::ByteBuffer buffer_;
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* SyncService::Subscribe(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  sync::v1::SubscribeRequest parsed;
  grpc::ByteBuffer copy = *request;
  std::optional<Subscriber> subscriber;
  if (grpc::SerializationTraits<sync::v1::SubscribeRequest>::Deserialize(&copy, &parsed).ok()) {
    subscriber = Subscriber{parsed.node_name(),
                            parsed.version(),
                            context->peer(),
                            parsed.resume_store_id(),
                            Revision(parsed.resume_revision()),
                            Revision(parsed.seen_revision())};
  }
  const auto stream = std::make_shared<Stream>(loop_, fanout_);
  stream->start(std::move(subscriber));
  return stream.get();
}

}  // namespace margay::typha
