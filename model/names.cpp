// SPDX-License-Identifier: Apache-2.0
#include "model/names.h"

#include <algorithm>

namespace margay::model {
namespace {

bool lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool alphanumeric(char c) { return lower_or_digit(c) || (c >= 'A' && c <= 'Z'); }

bool is_lower_part(std::string_view part) {
  return !part.empty() && lower_or_digit(part.front()) && lower_or_digit(part.back()) &&
         std::all_of(part.begin(), part.end(),
                     [](char c) { return lower_or_digit(c) || c == '-'; });
}

bool is_qualified(std::string_view text) {
  return !text.empty() && text.size() <= 63 && alphanumeric(text.front()) &&
         alphanumeric(text.back()) && std::all_of(text.begin(), text.end(), [](char c) {
           return alphanumeric(c) || c == '-' || c == '_' || c == '.';
         });
}

}  // namespace

bool is_dns_label(std::string_view text) { return text.size() <= 63 && is_lower_part(text); }

bool is_subdomain(std::string_view text) {
  if (text.size() > 253) return false;
  for (;;) {
    const auto dot = text.find('.');
    if (!is_lower_part(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_label_key(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return is_qualified(text);
  return is_subdomain(text.substr(0, slash)) && is_qualified(text.substr(slash + 1));
}

bool is_label_value(std::string_view text) { return text.empty() || is_qualified(text); }

}  // namespace margay::model
