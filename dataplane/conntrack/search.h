// SPDX-License-Identifier: Apache-2.0
// Finds connections without holding up whoever asks: the kernel walks its whole table before it
// answers a question about an address, some 15 ms for 100,000 entries, and of a table that is read
// whole most entries concern nobody. So that happens on a thread of its own, in the network
// namespace of the thread that makes the Search; what was found comes to the asker's loop piece by
// piece, at its pace. Everything else is to be called on that loop.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/loop/event_loop.h"
#include "base/result.h"
#include "dataplane/conntrack/flow.h"

namespace margay::conntrack {

class Search {
 public:
  explicit Search(EventLoop& loop);
  ~Search();  // waits for the kernel's answer if one is under way; nothing is handed over any more
  Search(const Search&) = delete;
  Search& operator=(const Search&) = delete;

  // Runs on the other thread: must hold by value whatever it looks at.
  using Wanted = std::function<bool(const Flow&)>;
  // Begins anew: the wanted ones of the flows that the queries find, one query after the other.
  void begin(std::vector<Query> queries, Wanted wanted);

  struct Piece {
    netlink::Writer messages;
    bool complete = false;  // there is no more
    void each(const std::function<void(const Flow&)>& f) const;
  };
  // Asks for the next piece. After an error only begin() can follow.
  void next(std::function<void(Result<Piece>)> take);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace margay::conntrack
