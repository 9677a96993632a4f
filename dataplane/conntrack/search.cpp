// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conntrack/search.h"

#include <optional>
#include <utility>

#include "base/loop/asio_loop.h"
#include "dataplane/conntrack/walk.h"

namespace margay::conntrack {

namespace {

// A piece is a few hundred flows: what its taker does with them takes a millisecond or two.
constexpr std::size_t kPieceBytes = 64 * 1024;
constexpr int kDatagramsPerStep = 4;  // between two looks at whether to stop

}  // namespace

struct Search::Impl {
  explicit Impl(EventLoop& l) : loop(l) { worker.run_in_thread(); }
  ~Impl() { worker.join(); }

  using Take = std::function<void(Result<Piece>)>;
  void gather(std::shared_ptr<Piece> piece, const Take& take);
  Result<void> step(Piece& piece);
  void deliver(const Take& take, Result<Piece> result);

  EventLoop& loop;
  std::shared_ptr<int> alive = std::make_shared<int>(0);  // posted results hold it weakly
  // Of the worker's thread.
  std::optional<Walk> walk;
  std::vector<Query> queries;  // not begun yet, the next one last
  Wanted wanted;
  bool walking = false;
  AsioLoop worker{"conntrack"};  // ends first
};

Search::Search(EventLoop& loop) : impl_(std::make_unique<Impl>(loop)) {}
Search::~Search() = default;

void Search::begin(std::vector<Query> queries, Wanted wanted) {
  impl_->worker.post([impl = impl_.get(), q = std::move(queries), w = std::move(wanted)]() mutable {
    if (std::exchange(impl->walking, false)) impl->walk.reset();  // answers of the old one wait
    impl->queries = std::move(q);
    impl->wanted = std::move(w);
  });
}

void Search::next(std::function<void(Result<Piece>)> take) {
  impl_->worker.post([impl = impl_.get(), take = std::move(take)] {
    impl->gather(std::make_shared<Piece>(), take);
  });
}

void Search::Impl::gather(std::shared_ptr<Piece> piece, const Take& take) {
  if (auto stepped = step(*piece); !stepped.ok()) {
    walk.reset();  // half-read answers go with its socket
    walking = false;
    return deliver(take, std::move(stepped).error());
  }
  if (piece->complete || piece->messages.size() >= kPieceBytes) {
    return deliver(take, std::move(*piece));
  }
  worker.post([this, piece = std::move(piece), take] { gather(piece, take); });
}

Result<void> Search::Impl::step(Piece& piece) {
  if (!walk) {
    MARGAY_TRY(walk, Walk::open());
  }
  if (!walking) {
    if (queries.empty()) {
      piece.complete = true;
      return {};
    }
    MARGAY_CHECK(walk->begin(queries.back()));
    queries.pop_back();
    walking = true;
  }
  MARGAY_TRY(const bool complete, walk->step(kDatagramsPerStep, [&](const Flow& flow) {
    if (!wanted(flow)) return;
    piece.messages.begin(flow.message->type, flow.message->flags, flow.message->seq);
    piece.messages.put_bytes(flow.message->payload);
    piece.messages.end();
  }));
  walking = !complete;
  return {};
}

void Search::Impl::deliver(const Take& take, Result<Piece> result) {
  auto shared = std::make_shared<Result<Piece>>(std::move(result));
  loop.post([take, shared, still = std::weak_ptr<int>(alive)] {
    if (!still.expired()) take(std::move(*shared));
  });
}

void Search::Piece::each(const std::function<void(const Flow&)>& f) const {
  netlink::ByteView rest = messages.bytes();
  while (const auto message = netlink::next_message(rest)) {
    if (const auto flow = decode(*message)) f(*flow);
  }
}

}  // namespace margay::conntrack
