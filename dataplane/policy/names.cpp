// SPDX-License-Identifier: Apache-2.0
#include "dataplane/policy/names.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

namespace margay::policy {

namespace {

bool plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.' || c == '/';
}

std::string family_name(std::string_view id, Family f, std::string_view rest) {
  // Ids are "s:<hash>": a dash instead of the colon reads well and needs no quotes.
  std::string text(id);
  if (const auto colon = text.find(':'); colon != std::string::npos) text[colon] = '-';
  std::string suffix = f == Family::v4 ? "-4" : "-6";
  suffix += rest;
  std::string name = bounded_name("", text);
  const bool starts_with_letter =
      !name.empty() && ((name[0] >= 'a' && name[0] <= 'z') || (name[0] >= 'A' && name[0] <= 'Z'));
  if (!starts_with_letter) name.insert(0, "set-");
  if (name.size() + suffix.size() > kMaxName) {
    name = name.substr(0, kMaxName - suffix.size() - 17) + "-" + digest(id);
  }
  return name + suffix;
}

}  // namespace

std::string digest(std::string_view text, std::size_t digits) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
  unsigned size = 0;
  MARGAY_ASSERT(EVP_Digest(text.data(), text.size(), raw.data(), &size, EVP_sha256(), nullptr) ==
                1);
  std::string out;
  for (unsigned i = 0; i < size && out.size() < digits; ++i) {
    out.push_back(kHex[raw[i] >> 4]);
    out.push_back(kHex[raw[i] & 15]);
  }
  out.resize(std::min(out.size(), digits));
  return out;
}

std::string bounded_name(std::string_view prefix, std::string_view text) {
  std::string name(prefix);
  bool changed = false;
  for (const char c : text) {
    changed = changed || !plain(c);
    name.push_back(plain(c) ? c : '_');
  }
  if (!changed && name.size() <= kMaxName) return name;
  const std::string hash = "-" + digest(text);
  name.resize(std::min(name.size(), kMaxName - hash.size()));
  return name + hash;
}

std::string net_set_name(std::string_view id, Family f, unsigned length) {
  return family_name(id, f, "-" + std::to_string(length));
}
std::string interval_set_name(std::string_view id, Family f) { return family_name(id, f, "-i"); }
std::string port_set_name(std::string_view id, Family f) { return family_name(id, f, ""); }

}  // namespace margay::policy
