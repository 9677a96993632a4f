// SPDX-License-Identifier: Apache-2.0
#include "ctl/options.h"

#include <gtest/gtest.h>

namespace margay::ctl {
namespace {

Result<Invocation> parse(std::vector<const char*> args) {
  args.insert(args.begin(), "margayctl");
  return parse_invocation(static_cast<int>(args.size()), args.data());
}

TEST(Invocation, takes_flags_in_every_form_and_place) {
  const auto call = parse({"get", "-owide", "nodes", "--namespace=ns1", "-n", "ns2", "n1"});
  ASSERT_TRUE(call.ok()) << call.error().message();
  EXPECT_EQ(call->command, "get");
  EXPECT_EQ(call->words, (std::vector<std::string>{"nodes", "n1"}));
  EXPECT_EQ(call->value("output"), "wide");
  EXPECT_EQ(call->value("namespace"), "ns2");
}

TEST(Invocation, a_dash_alone_is_a_value_and_two_dashes_end_the_flags) {
  const auto call = parse({"delete", "-f", "-", "--", "-x"});
  ASSERT_TRUE(call.ok()) << call.error().message();
  EXPECT_EQ(call->value("filename"), "-");
  EXPECT_EQ(call->words, (std::vector<std::string>{"-x"}));
}

TEST(Invocation, finds_commands_of_two_words) {
  const auto call = parse({"node", "status", "--socket", "/x"});
  ASSERT_TRUE(call.ok()) << call.error().message();
  EXPECT_EQ(call->command, "node status");
  EXPECT_TRUE(call->words.empty());
}

TEST(Invocation, errors_name_what_is_wrong) {
  struct Row {
    std::vector<const char*> args;
    const char* word;
  };
  const Row rows[] = {{{"bogus"}, "bogus"},
                      {{"get", "--bogus"}, "--bogus"},
                      {{"get", "-f"}, "-f"},
                      {{"get", "--all-namespaces=yes"}, "--all-namespaces"},
                      {{"node", "status", "-f", "x"}, "--filename"}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.word);
    const auto call = parse(row.args);
    ASSERT_FALSE(call.ok());
    EXPECT_NE(call.error().message().find(row.word), std::string::npos) << call.error().message();
  }
}

TEST(Invocation, nothing_or_help_asks_for_help) {
  EXPECT_EQ(parse({})->command, "help");
  EXPECT_EQ(parse({"get", "--help"})->command, "help");
}

}  // namespace
}  // namespace margay::ctl
