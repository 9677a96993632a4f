// SPDX-License-Identifier: Apache-2.0
#include "model/codec/codec_impl.h"

#include "model/names.h"

namespace margay::model::codec {
namespace {

constexpr std::size_t kMaxBytes = 64U << 20U;
constexpr std::size_t kMaxDepth = 100;

std::string_view text_at(Element e, std::string_view pointer) {
  std::string_view text;
  if (e.at_pointer(pointer).get(text) != simdjson::SUCCESS) text = {};
  return text;
}

void check_name(Context& ctx, const Key& key, const Metadata& metadata) {
  if (metadata.name.empty()) return;  // reported as required
  const bool label = key.kind == Kind::tier || key.kind == Kind::kubernetes_namespace;
  if (label ? !is_dns_label(metadata.name) : !is_subdomain(metadata.name)) {
    ctx.fail("metadata.name", metadata.name, label ? kDnsLabelRule : kSubdomainRule);
  }
  if (metadata.name != key.name) {
    ctx.fail("metadata.name", metadata.name, "must be the key's name, " + key.name);
  }
  if (!info(key.kind).namespaced) {
    if (!metadata.ns.empty()) {
      ctx.fail("metadata.namespace", metadata.ns,
               "must be absent: " + std::string(info(key.kind).name) + " is not namespaced");
    }
    return;
  }
  if (!is_dns_label(metadata.ns)) ctx.fail("metadata.namespace", metadata.ns, kDnsLabelRule);
  if (metadata.ns != key.ns) {
    ctx.fail("metadata.namespace", metadata.ns, "must be the key's namespace, " + key.ns);
  }
}

}  // namespace

void check_labels(Context& ctx, const Labels& labels, std::string_view path) {
  for (const auto& [key, value] : labels) {
    const std::string at = std::string(path) + "." + key;
    if (!is_label_key(key)) ctx.fail(at, key, kLabelKeyRule);
    if (!is_label_value(value)) ctx.fail(at, value, kLabelValueRule);
  }
}

std::string indexed(std::string_view path, std::size_t i) {
  return std::string(path) + "[" + std::to_string(i) + "]";
}

bool is_interface_name(std::string_view text) {
  return !text.empty() && text.size() <= 15 && text != "." && text != ".." &&
         text.find_first_of("/: \t\n") == std::string_view::npos;
}

Result<Element> Text::parse(std::string_view json) {
  if (json.size() > kMaxBytes) {
    return make_error(Code::invalid, "the document is larger than 64 MiB");
  }
  if (parser_.allocate(std::max<std::size_t>(json.size(), 64), kMaxDepth) != simdjson::SUCCESS) {
    return make_error(Code::invalid, "out of memory for a document of this size");
  }
  Element root;
  const auto failure = parser_.parse(json.data(), json.size()).get(root);
  if (failure == simdjson::DEPTH_ERROR) {
    return make_error(Code::invalid, "malformed JSON: nested more than 100 levels deep");
  }
  if (failure != simdjson::SUCCESS) {
    return make_error(Code::invalid,
                      "malformed JSON: " + std::string(simdjson::error_message(failure)));
  }
  return root;
}

std::string name_in(Kind kind, Element document) {
  Key key{kind, std::string(text_at(document, "/metadata/namespace")),
          std::string(text_at(document, "/metadata/name"))};
  return describe(key);
}

void check_identity(Context& ctx, const Key& key, Element document, const Metadata* metadata) {
  if (key.kind == Kind::ipam_block) {
    const auto cidr = text_at(document, "/cidr");
    if (cidr != key.name) ctx.fail("cidr", cidr, "must be the key's, " + key.name);
  }
  if (metadata == nullptr) return;
  const KindInfo& k = info(key.kind);
  const auto must_be = [&](std::string_view field, std::string_view want) {
    const auto have = text_at(document, "/" + std::string(field));
    if (have != want) ctx.fail(field, have, "must be " + std::string(want));
  };
  must_be("kind", k.name);
  must_be("apiVersion", k.api_version);
  check_name(ctx, key, *metadata);
  check_labels(ctx, metadata->labels, "metadata.labels");
  for (const auto& [name, value] : metadata->annotations) {
    if (!is_label_key(name)) ctx.fail("metadata.annotations." + name, name, kLabelKeyRule);
  }
}

}  // namespace margay::model::codec
