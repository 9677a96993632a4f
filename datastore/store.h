// SPDX-License-Identifier: Apache-2.0
// Store: the truth, with revisions. Keys are Calico's etcd paths (model/key.h), values JSON text.
// Every write gets a new, strictly greater revision; a write is acknowledged only when durable.
// Drivers: sqlite (embedded), remote (gRPC to the owner of a SQLite file), later etcd and
// kubernetes. A driver turns its backend's failures into Errors (unavailable, compacted, conflict,
// ...) and never invents a delete. Threads: calls and callbacks happen on the loop the driver was
// made with.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace margay::datastore {

// What every driver accepts; the same as etcd's limits, so that data can move between drivers.
inline constexpr std::size_t kMaxKey = 4096;
inline constexpr std::size_t kMaxValue = 1536 * 1024;

struct Entry {
  std::string key;
  std::string value;  // JSON text as written
  Revision revision;  // of the last write to this key
};

struct Event {
  std::string key;
  std::string value;  // empty when deleted
  bool deleted = false;
  Revision revision;
};

struct Listing {
  std::vector<Entry> entries;  // sorted by key
  Revision revision;           // of the store when it was read: watch from here
  Revision oldest;             // a watch may start from here or later; older is compacted
  std::string store_id;        // revisions of stores with different ids do not compare
};

// One write of a batch; the kinds are those of the calls below.
struct Write {
  enum class Kind { create, update, put, remove };
  Kind kind = Kind::put;
  std::string key;
  std::string value;  // not for remove
  Revision expected;  // for update, and for remove where it is not 0
};

class WatchHandle {  // destroying it ends the watch: no callback afterwards
 public:
  virtual ~WatchHandle() = default;
};

struct WatchCallbacks {
  // Events in revision order, without gaps, in batches; `upto` is the store's revision so far.
  std::function<void(const std::vector<Event>&, Revision upto)> events;
  // The watch has ended: compacted (list again), or unavailable (watch again from the last `upto`).
  std::function<void(const Error&)> ended;
};

class Store {
 public:
  virtual ~Store() = default;
  // All keys that begin with `prefix`.
  virtual Result<Listing> list(std::string_view prefix) = 0;
  virtual Result<Entry> get(std::string_view key) = 0;
  virtual Result<Revision> create(std::string_view key, std::string_view value) = 0;
  // Compare-and-swap: Code::conflict when the key's revision is not `expected`.
  virtual Result<Revision> update(std::string_view key, std::string_view value,
                                  Revision expected) = 0;
  // Create or replace, whatever stands there.
  virtual Result<Revision> put(std::string_view key, std::string_view value) = 0;
  // `expected` 0: whatever its revision. not_found when there is none.
  virtual Result<Revision> remove(std::string_view key, Revision expected) = 0;
  // Any number of writes, each of which stands or fails alone; `done` gets their results in order,
  // on the loop, when all of them are durable. Cheaper than one call each: a driver commits what is
  // pending together, and does not block. The default carries them out one by one.
  using WriteResults = std::vector<Result<Revision>>;
  virtual void submit(std::vector<Write> writes, std::function<void(WriteResults)> done) {
    WriteResults results;
    for (const auto& w : writes) results.push_back(apply(w));
    done(std::move(results));
  }
  // Everything below `prefix` that changed after `from`.
  virtual std::unique_ptr<WatchHandle> watch(std::string_view prefix, Revision from,
                                             WatchCallbacks callbacks) = 0;

  Result<Revision> apply(const Write& w) {
    switch (w.kind) {
      case Write::Kind::create:
        return create(w.key, w.value);
      case Write::Kind::update:
        return update(w.key, w.value, w.expected);
      case Write::Kind::put:
        return put(w.key, w.value);
      case Write::Kind::remove:
        return remove(w.key, w.expected);
    }
    return make_error(Code::internal, "write of no kind: " + w.key);
  }
};

}  // namespace margay::datastore
