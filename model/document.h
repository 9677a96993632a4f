// SPDX-License-Identifier: Apache-2.0
// Resources as people write and read them: YAML (several documents), JSON (object, array) and List
// kinds to keys and compact JSON; and back to YAML or indented JSON. Also what Calico adds to a
// resource when it is written. Limits on size, depth and aliases make every input end in documents
// or an Error (Code::invalid with file and line). Knows no files: the caller reads them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "model/key.h"

namespace margay::model {

struct Document {
  Key key;
  std::string json;              // compact; kind, apiVersion and metadata first
  std::string resource_version;  // metadata.resourceVersion, which is not part of `json`
  std::string where;             // "pools.yaml:12"
};

struct DocumentOptions {
  std::string source = "input";               // a file's name, for messages
  std::string default_namespace = "default";  // where a namespaced resource names none
};

// All resources of a text, in order; empty documents and empty lists count for nothing. Only kind,
// apiVersion and metadata.name are checked here: the rest is validate_strict's.
[[nodiscard]] Result<std::vector<Document>> parse_documents(std::string_view text,
                                                            const DocumentOptions& options = {});

// What only the writer can know. `now` is RFC 3339 in UTC, to the second.
struct Stamp {
  std::string uid;
  std::string now;
};
[[nodiscard]] Stamp fresh_stamp();  // a random (version 4) UUID and the system's time
// `json` with what Calico fills in on a write: uid and creationTimestamp where absent, default
// values, and the labels that it derives.
[[nodiscard]] Result<std::string> with_defaults(const Key& key, std::string_view json,
                                                const Stamp& stamp);
// `json` with the uid and creationTimestamp of the stored object that it replaces.
[[nodiscard]] Result<std::string> with_identity_of(std::string_view stored, std::string_view json);
// `json` with metadata.resourceVersion, as readers are shown it.
[[nodiscard]] Result<std::string> with_resource_version(std::string_view json, Revision revision);

// Any JSON value as YAML, keys in alphabetical order as calicoctl prints them. Ends with a newline.
[[nodiscard]] Result<std::string> to_yaml(std::string_view json);
// Indented by two blanks, keys in the order of `json`, no newline at the end.
[[nodiscard]] Result<std::string> to_pretty_json(std::string_view json);

}  // namespace margay::model
