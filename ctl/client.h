// SPDX-License-Identifier: Apache-2.0
// Resource operations over a Store with calicoctl's meaning and words (spec ctl.md 3 and 4): strict
// validation, defaults, metadata kept by the server, resourceVersion as compare-and-swap. Lives on
// the thread of its Store.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "ctl/columns.h"
#include "datastore/store.h"
#include "model/key.h"

namespace margay::ctl {

struct ListResult {
  std::vector<Json> objects;  // sorted by name (tiers by order), metadata.resourceVersion filled
  std::string resource_version;
};

class Client {
 public:
  explicit Client(datastore::Store& store) : store_(store) {}  // must outlive the client

  [[nodiscard]] Result<Json> get(const model::Key& key);
  // `ns` empty: every namespace.
  [[nodiscard]] Result<ListResult> list(model::Kind kind, std::string_view ns);
  [[nodiscard]] Result<void> create(const model::Key& key, const Json& object);
  [[nodiscard]] Result<void> apply(const model::Key& key, const Json& object);
  [[nodiscard]] Result<void> replace(const model::Key& key, const Json& object);
  [[nodiscard]] Result<void> remove(const model::Key& key);

 private:
  [[nodiscard]] Result<std::string> admitted(const model::Key& key, const Json& object);
  [[nodiscard]] Result<void> check_pools(const model::Key& key, std::string_view json);
  [[nodiscard]] Result<void> check_tier(const model::Key& key, const Json& object);
  [[nodiscard]] Result<void> update(const model::Key& key, const Json& object);

  datastore::Store& store_;
};

}  // namespace margay::ctl
