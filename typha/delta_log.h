// SPDX-License-Identifier: Apache-2.0
// The last changes, encoded, in order; what clients that are nearly up to date are sent from. A
// client's place in it is a sequence number. Bounded: the oldest go first. Pure.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "base/loop/event_loop.h"
#include "base/types.h"
#include "typha/frame.h"

namespace margay::typha {

class DeltaLog {
 public:
  explicit DeltaLog(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  // `base`: the revision after which the first change will come. Sequence numbers go on.
  void reset(Revision base);
  // Events in revision order, from the last one's on; up to which revision they are all there, and
  // when they were committed, if that is known.
  void append(const std::vector<datastore::Event>& events, Revision upto,
              Clock::time_point committed = {});

  [[nodiscard]] std::uint64_t begin() const { return first_; }  // the oldest held
  [[nodiscard]] std::uint64_t end() const { return first_ + deltas_.size(); }
  [[nodiscard]] std::size_t bytes_from(std::uint64_t sequence) const;
  [[nodiscard]] std::size_t bytes() const { return total_ - dropped_; }

  // Where a client that has everything up to `revision` goes on; `head` is what it still needs of a
  // delta of which it has a part. None: that is no longer, or not yet, held.
  struct Place {
    std::uint64_t sequence;
    Body head;
    Revision head_upto;
  };
  [[nodiscard]] std::optional<Place> after(Revision revision) const;

  // The deltas from `sequence` on that fit into one message.
  struct Run {
    std::vector<Body> bodies;
    Revision upto;
    std::uint64_t next;
    Clock::time_point committed{};  // the oldest
  };
  [[nodiscard]] Run run(std::uint64_t sequence) const;

 private:
  struct Delta {
    Body body;
    Revision upto;  // with this delta everything up to it has been sent
    Revision last;  // of its entries: beyond `upto` if more of that revision follow
    std::size_t entries;
    std::uint64_t start;  // bytes of all deltas before this one, ever
    Clock::time_point committed;
  };
  void add(std::string body, Revision last, std::size_t entries, Clock::time_point committed);
  void trim();

  std::size_t max_bytes_;
  std::deque<Delta> deltas_;
  std::uint64_t first_ = 0;
  std::uint64_t total_ = 0;    // bytes ever added
  std::uint64_t dropped_ = 0;  // of them, no longer held
  Revision base_;              // of what is before the first delta held
  Revision whole_;             // up to which everything was appended
};

}  // namespace margay::typha
