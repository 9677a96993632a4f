// SPDX-License-Identifier: Apache-2.0
// Syntax of names, label keys and label values (RFC 1123, Kubernetes). Pure predicates on text.
#pragma once

#include <string_view>

namespace margay::model {

// Labels joined by dots, at most 253 characters: names of most kinds.
[[nodiscard]] bool is_subdomain(std::string_view text);
// One label, at most 63 characters: tiers, namespaces.
[[nodiscard]] bool is_dns_label(std::string_view text);
[[nodiscard]] bool is_label_key(std::string_view text);  // "rack", "example.com/rack"
[[nodiscard]] bool is_label_value(std::string_view text);

inline constexpr std::string_view kSubdomainRule =
    "must consist of lower case letters, digits, '-' or '.', begin and end with a letter or a "
    "digit, and be at most 253 characters long";
inline constexpr std::string_view kDnsLabelRule =
    "must consist of lower case letters, digits or '-', begin and end with a letter or a digit, "
    "and be at most 63 characters long";
inline constexpr std::string_view kLabelKeyRule =
    "must be a label key: an optional prefix such as example.com/, then at most 63 letters, "
    "digits, '-', '_' or '.', beginning and ending with a letter or a digit";
inline constexpr std::string_view kLabelValueRule =
    "must be empty or at most 63 letters, digits, '-', '_' or '.', beginning and ending with a "
    "letter or a digit";

}  // namespace margay::model
