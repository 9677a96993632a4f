// SPDX-License-Identifier: Apache-2.0
#include "agent/sync/sync_call.h"

#include <utility>

namespace margay::sync {

std::shared_ptr<SyncCall> SyncCall::start(EventLoop& loop,
                                          const std::shared_ptr<grpc::Channel>& channel,
                                          const v1::SubscribeRequest& request, bool wait_for_ready,
                                          Events events) {
  std::shared_ptr<SyncCall> call(new SyncCall(loop, std::move(events)));
  call->self_ = call;
  call->pending_->add();
  call->stub_ = v1::Sync::NewStub(channel);
  call->request_ = request;
  call->context_.set_wait_for_ready(wait_for_ready);
  call->stub_->async()->Subscribe(&call->context_, &call->request_, call.get());
  call->AddHold();  // reads are started from outside of gRPC's callbacks
  call->StartCall();
  call->read();
  return call;
}

void SyncCall::read() {
  {
    const std::lock_guard lock(mu_);
    if (ending_ || std::exchange(reading_, true)) return;
  }
  StartRead(&message_);
}

void SyncCall::abandon() {
  abandoned_ = true;
  context_.TryCancel();
  end(false);
  pending_->wait();
}

// From here on no read is started; when none is under way either, gRPC may end the call. The hold
// goes exactly once.
void SyncCall::end(bool read_done) {
  bool release = false;
  {
    const std::lock_guard lock(mu_);
    ending_ = true;
    if (read_done) reading_ = false;
    if (!reading_) release = !std::exchange(released_, true);
  }
  if (release) RemoveHold();
}

void SyncCall::OnReadDone(bool ok) {
  if (!ok) return end(true);
  auto message = std::make_shared<v1::SyncMessage>(std::move(message_));
  message_.Clear();
  bool ending = false;
  {
    const std::lock_guard lock(mu_);
    reading_ = false;
    ending = ending_;
  }
  if (ending) return end(true);
  // Now: the loop may be busy, and its delay is part of ours.
  loop_.post([self = self_, message, received = Clock::now()] {
    if (!self->abandoned_) self->events_.message(message.get(), received);
  });
}

// The reference moves to the loop, where this object ends.
void SyncCall::OnDone(const grpc::Status& status) {
  const auto pending = pending_;
  loop_.post([self = std::move(self_), status] {
    if (!self->abandoned_) self->events_.done(status);
  });
  pending->done();
}

}  // namespace margay::sync
