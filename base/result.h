// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value or an Error, for everything that the outside world can refuse. Error names the
// thing, the place and, where we know one, the remedy in `context`; `sys_errno` keeps the kernel's
// word. MARGAY_TRY returns early; MARGAY_ASSERT is for what our own code guarantees, never for
// input.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace margay {

enum class Code {
  invalid,      // malformed or out of range input
  not_found,    // the object named does not exist
  exists,       // an object of that name exists already
  conflict,     // compare-and-swap lost: the revision has moved on
  unavailable,  // the other side cannot be reached now; trying again may help
  refused,      // the other side said no; trying again will not help
  compacted,    // the revision asked for is no longer held: list again
  overrun,      // notifications were lost: read the whole state again
  system,       // a system call failed; sys_errno says how
  internal,     // our own fault
};
[[nodiscard]] std::string_view to_string(Code code);

struct [[nodiscard]] Error {
  Code code = Code::internal;
  int sys_errno = 0;
  std::string context;

  // "context: errno text" for a person.
  [[nodiscard]] std::string message() const;
};

[[nodiscard]] inline Error make_error(Code code, std::string context) {
  return Error{code, 0, std::move(context)};
}
// Code::system with `err` (positive errno value).
[[nodiscard]] Error sys_error(int err, std::string context);

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : v_(std::move(value)) {}      // NOLINT: implicit by design
  Result(Error error) : v_(std::move(error)) {}  // NOLINT
  [[nodiscard]] bool ok() const { return v_.index() == 0; }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] T& value() & { return std::get<0>(v_); }
  [[nodiscard]] const T& value() const& { return std::get<0>(v_); }
  [[nodiscard]] T&& value() && { return std::get<0>(std::move(v_)); }
  [[nodiscard]] Error& error() & { return std::get<1>(v_); }
  [[nodiscard]] const Error& error() const& { return std::get<1>(v_); }
  [[nodiscard]] Error&& error() && { return std::get<1>(std::move(v_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Error> v_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : e_(std::move(error)) {}  // NOLINT: implicit by design
  [[nodiscard]] bool ok() const { return !e_.has_value(); }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] Error& error() & { return *e_; }
  [[nodiscard]] const Error& error() const& { return *e_; }
  [[nodiscard]] Error&& error() && { return std::move(*e_); }

 private:
  std::optional<Error> e_;
};

[[noreturn]] void assertion_failed(const char* expr, const char* file, int line);

}  // namespace margay

#define MARGAY_CAT2(a, b) a##b
#define MARGAY_CAT(a, b) MARGAY_CAT2(a, b)
#define MARGAY_TRY_IMPL(tmp, decl, expr)        \
  auto tmp = (expr);                            \
  if (!tmp.ok()) return std::move(tmp).error(); \
  decl = std::move(tmp).value()
// MARGAY_TRY(auto x, expr): x = value, or return the error from the enclosing function.
#define MARGAY_TRY(decl, expr) MARGAY_TRY_IMPL(MARGAY_CAT(margay_try_, __COUNTER__), decl, expr)
// The same for Result<void>.
#define MARGAY_CHECK(expr)                                                          \
  do {                                                                              \
    if (auto margay_r = (expr); !margay_r.ok()) return std::move(margay_r).error(); \
  } while (false)
#define MARGAY_ASSERT(cond)                                             \
  do {                                                                  \
    if (!(cond)) ::margay::assertion_failed(#cond, __FILE__, __LINE__); \
  } while (false)
