// SPDX-License-Identifier: Apache-2.0
#include "model/codec/write.h"

#include <array>
#include <charconv>

namespace margay::model::codec {

void write(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

void write(std::string& out, bool v) { out += v ? "true" : "false"; }

void write(std::string& out, double v) {
  std::array<char, 32> buf{};
  const auto [end, ec] = std::to_chars(buf.data(), buf.data() + buf.size(), v);
  out.append(buf.data(), end);
}

void write_name(std::string& out, std::string_view name) {
  if (!out.empty() && out.back() != '{') out += ',';
  write(out, name);
  out += ':';
}

void write(std::string& out, const Labels& v) {
  out += '{';
  for (const auto& [key, value] : v) {
    write_name(out, key);
    write(out, std::string_view(value));
  }
  out += '}';
}

void write(std::string& out, const std::map<std::string, int>& v) {
  out += '{';
  for (const auto& [key, value] : v) {
    write_name(out, key);
    write(out, value);
  }
  out += '}';
}

void write(std::string& out, Protocol v) {
  switch (v.number) {
    case 6:
      return write(out, std::string_view("TCP"));
    case 17:
      return write(out, std::string_view("UDP"));
    case 1:
      return write(out, std::string_view("ICMP"));
    case 58:
      return write(out, std::string_view("ICMPv6"));
    case 132:
      return write(out, std::string_view("SCTP"));
    case 136:
      return write(out, std::string_view("UDPLite"));
    default:
      out += std::to_string(v.number);
  }
}

void write(std::string& out, const PortRange& v) {
  if (v.first == v.last) {
    out += std::to_string(v.first);
  } else {
    write(out, std::string_view(std::to_string(v.first) + ":" + std::to_string(v.last)));
  }
}

void write(std::string& out, const Port& v) {
  std::visit([&](const auto& alternative) { write(out, alternative); }, v);
}

}  // namespace margay::model::codec
