// SPDX-License-Identifier: Apache-2.0
#include "model/document.h"

#include <simdjson.h>

#include "model/text/dom.h"

namespace margay::model {
namespace {

using text::Dom;
using text::Tree;

std::string text_of(const Dom& object, const char* name) {
  if (!object.is_object()) return {};
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// kind, apiVersion and metadata first, the rest as it came.
Dom in_order(Dom object) {
  Dom out = Dom::object();
  for (const char* first : {"kind", "apiVersion", "metadata"}) {
    out[first] = std::move(object[first]);
    object.erase(first);
  }
  for (auto& [name, v] : object.get_ref<Dom::object_t&>()) {
    out.get_ref<Dom::object_t&>().emplace_back(name, std::move(v));
  }
  return out;
}

class Collector {
 public:
  explicit Collector(const DocumentOptions& options) : options_(options) {}
  std::vector<Document> documents;

  Result<void> add_tree(Tree tree) {
    Tree& t = tree;
    if (t.root.is_array()) return add_items(t.root, t, {}, {});
    return add(std::move(t.root), t.line, &t);
  }

 private:
  Error bad(std::size_t line, const std::string& what) const {
    return make_error(Code::invalid, where(line) + ": " + what);
  }
  std::string where(std::size_t line) const { return options_.source + ":" + std::to_string(line); }

  Result<void> add_items(Dom& items, const Tree& tree, const std::string& version,
                         const std::string& kind) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      const std::size_t line = i < tree.item_lines.size() ? tree.item_lines[i] : tree.line;
      Dom& item = items[i];
      if (item.is_null()) continue;
      if (item.is_object() && !kind.empty() && !item.contains("kind")) {
        item["kind"] = kind;
        item["apiVersion"] = version;
      }
      MARGAY_CHECK(add(std::move(item), line, nullptr));
    }
    return {};
  }

  // `list`: where lines of items are, when a List is possible here (not within another).
  Result<void> add(Dom object, std::size_t line, Tree* list) {
    if (!object.is_object()) return bad(line, "a resource must be a map with apiVersion and kind");
    const std::string version = text_of(object, "apiVersion");
    const std::string kind = text_of(object, "kind");
    if (list != nullptr && kind.ends_with("List") && object.contains("items")) {
      Dom& items = object["items"];
      if (items.is_null()) return {};
      if (!items.is_array()) return bad(line, kind + ": items must be a list");
      return add_items(items, *list, version, kind.substr(0, kind.size() - 4));
    }
    const auto found = find_kind(version, kind);
    if (!found) {
      return bad(line, "unknown resource type (" + kind + ") and/or version (" + version + ")");
    }
    return add_resource(*found, std::move(object), line);
  }

  Result<void> add_resource(Kind kind, Dom object, std::size_t line) {
    if (!object.contains("metadata") || !object["metadata"].is_object()) {
      return bad(line, std::string(info(kind).name) + ": metadata is required");
    }
    Dom& metadata = object["metadata"];
    Document d{{kind, {}, text_of(metadata, "name")},
               {},
               text_of(metadata, "resourceVersion"),
               where(line)};
    if (d.key.name.empty() || d.key.name.find('/') != std::string::npos) {
      return bad(line, std::string(info(kind).name) + ": error with field metadata.name = '" +
                           d.key.name + "' (a name is required, without '/')");
    }
    if (info(kind).namespaced) {
      d.key.ns = text_of(metadata, "namespace");
      if (d.key.ns.empty()) d.key.ns = options_.default_namespace;
      if (d.key.ns.find('/') != std::string::npos) {
        return bad(line, describe(d.key) + ": a namespace has no '/'");
      }
      metadata["namespace"] = d.key.ns;
    }
    metadata.erase("resourceVersion");
    d.json = text::compact(in_order(std::move(object)));
    documents.push_back(std::move(d));
    return {};
  }

  const DocumentOptions& options_;
};

Result<std::vector<Tree>> read_any(std::string_view text, const std::string& source) {
  if (text.size() > text::kMaxText) {
    return make_error(Code::invalid, source + ": larger than 64 MiB");
  }
  if (!simdjson::validate_utf8(text.data(), text.size())) {
    return make_error(Code::invalid, source + ": not UTF-8 text");
  }
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // byte order mark
  const auto start = text.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos) return std::vector<Tree>{};
  if (text[start] != '{' && text[start] != '[') return text::read_yaml(text, source);
  auto json = text::read_json(text, source);
  if (json.ok()) return json;
  // YAML's flow style begins alike, but with plain keys, or has further documents.
  const auto next = text.find_first_not_of(" \t\r\n[{", start);
  const bool quoted_key = next != std::string_view::npos && text[next] == '"';
  if (quoted_key && text.find("\n---") == std::string_view::npos) return json;
  auto yaml = text::read_yaml(text, source);
  return yaml.ok() ? std::move(yaml) : std::move(json);
}

}  // namespace

Result<std::vector<Document>> parse_documents(std::string_view text,
                                              const DocumentOptions& options) {
  MARGAY_TRY(auto trees, read_any(text, options.source));
  Collector collector(options);
  for (auto& tree : trees) MARGAY_CHECK(collector.add_tree(std::move(tree)));
  return std::move(collector.documents);
}

}  // namespace margay::model
