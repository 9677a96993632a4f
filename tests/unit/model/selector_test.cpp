// SPDX-License-Identifier: Apache-2.0
#include "model/selector.h"

#include <gtest/gtest.h>

#include "model/selector_merge.h"

namespace margay::model {
namespace {

Selector must(std::string_view text) {
  auto s = Selector::parse(text);
  EXPECT_TRUE(s.ok()) << text << ": " << s.error().context;
  return s.ok() ? *s : Selector();
}

struct CanonicalRow {
  std::string text;
  std::string canonical;
};

TEST(Selector, has_one_canonical_text) {
  const CanonicalRow rows[] = {
      {"", "all()"},
      {" \t", "all()"},
      {" ( all( ) )", "all()"},
      {"global()", "global()"},
      {"has( a )", "has(a)"},
      {"has == 'x'", "has == \"x\""},
      {"a=='b'", "a == \"b\""},
      {"a != \"it's\"", "a != \"it's\""},
      {"a == '\"'", "a == '\"'"},
      {"a in{'z','b','z',}", "a in {\"b\", \"z\"}"},
      {"a in {}", "a in {}"},
      {"a notin {'x'}", "a not in {\"x\"}"},
      {"a not  in {'x'}", "a not in {\"x\"}"},
      {"a contains 'x'", "a contains \"x\""},
      {"a startswith 'x'", "a starts with \"x\""},
      {"a ends with 'x'", "a ends with \"x\""},
      {"!a == 'b'", "!a == \"b\""},
      {"!!a == 'b'", "a == \"b\""},
      {"! ! !has(a)", "!has(a)"},
      {"!(!has(a))", "has(a)"},
      {"has(a) && has(b) || has(c)", "((has(a) && has(b)) || has(c))"},
      {"has(a) && (has(b) || has(c))", "(has(a) && (has(b) || has(c)))"},
      {"has(a)||has(b)||has(c)", "(has(a) || has(b) || has(c))"},
      {"(has(a) && has(b)) && has(c)", "((has(a) && has(b)) && has(c))"},
      {"k8s-app/x.y_z-1 == ''", "k8s-app/x.y_z-1 == \"\""},
      {"in in {'in'}", "in in {\"in\"}"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.text);
    const Selector s = must(row.text);
    EXPECT_EQ(s.canonical(), row.canonical);
    EXPECT_EQ(must(s.canonical()).canonical(), row.canonical);
  }
}

TEST(Selector, names_what_was_expected_and_where) {
  const CanonicalRow rows[] = {
      {"a", "offset 1"},
      {"a ==", "offset 4"},
      {"a == b", "offset 5"},
      {"a == 'b", "offset 5"},
      {"a & b", "offset 2"},
      {"(has(a)", "offset 7"},
      {"has(a))", "offset 6"},
      {"has (a)", "offset 4"},
      {"a in 'b'", "offset 5"},
      {"a in {'b' 'c'}", "offset 10"},
      {"a in {,}", "offset 6"},
      {"a inx {'b'}", "offset 2"},
      {"a == 'b' &&", "offset 11"},
      {"a == 'b' 'c'", "offset 9"},
      {"%", "offset 0"},
      {"()", "offset 1"},
      {"has()", "offset 4"},
      {"'a' == 'b'", "offset 0"},
      {"a == 'b'\n", "offset 8"},
      {"all(x)", "offset 4"},
      {"!", "offset 1"},
      {"a == 'b' == 'c'", "offset 9"},
      {"a starts 'b'", "offset 2"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.text);
    const auto s = Selector::parse(row.text);
    ASSERT_FALSE(s.ok());
    EXPECT_NE((s.error().context + ",").find(row.canonical + ","), std::string::npos)
        << s.error().context;
  }
  EXPECT_FALSE(Selector::parse(std::string(513, 'a') + " == 'b'").ok());
  EXPECT_TRUE(Selector::parse(std::string(512, 'a') + " == 'b'").ok());
  EXPECT_FALSE(Selector::parse(std::string(100'000, '(')).ok());
  EXPECT_FALSE(Selector::parse(std::string(100'000, '!')).ok());
}

// Ids that Calico gives to the same selectors; they must not change between versions.
TEST(Selector, has_calicos_id) {
  EXPECT_EQ(Selector().id(), "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug");
  EXPECT_EQ(must("! (has( b)||! has(a ))").id(), "s:Iss0uCleLYv1GSv_pNm7hAO58kE9jAx1NKyG3Q");
  EXPECT_EQ(must("! (a == \"b\"&&! c != \"d\")").id(), "s:lh3haoY1ikTRkd4UZu0nWSaIBknYLPJLX16d-w");
}

TEST(Selector, evaluates_present_and_missing_labels) {
  const Labels with = {{"a", "banana"}, {"b", ""}};
  struct Row {
    std::string text;
    bool present;  // against `with`
    bool missing;  // against no labels
  };
  const Row rows[] = {
      {"all()", true, true},
      {"global()", true, true},
      {"has(a)", true, false},
      {"has(b)", true, false},
      {"!has(a)", false, true},
      {"a == 'banana'", true, false},
      {"a == 'x'", false, false},
      {"b == ''", true, false},
      {"a != 'banana'", false, true},
      {"a != 'x'", true, true},
      {"!a != 'x'", false, false},
      {"a in {'x', 'banana'}", true, false},
      {"a in {}", false, false},
      {"a not in {'banana'}", false, true},
      {"a not in {}", true, true},
      {"a contains 'nan'", true, false},
      {"a contains ''", true, false},
      {"a starts with 'ban'", true, false},
      {"a starts with 'anan'", false, false},
      {"a ends with 'ana'", true, false},
      {"a ends with 'ban'", false, false},
      {"has(a) && has(b)", true, false},
      {"has(a) && has(c)", false, false},
      {"has(c) || has(b)", true, false},
      {"has(c) || c != 'x'", true, true},
      {"!(has(c) || has(a)) || b == ''", true, true},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.text);
    EXPECT_EQ(must(row.text).matches(with), row.present);
    EXPECT_EQ(must(row.text).matches({}), row.missing);
    EXPECT_EQ(must(must(row.text).canonical()).matches(with), row.present);
  }
}

TEST(Selector, tells_what_every_match_fulfils) {
  using Values = std::vector<std::string>;
  struct Row {
    std::string text;
    LabelRestrictions want;
  };
  const LabelRestriction present{true, false, std::nullopt};
  const LabelRestriction absent{false, true, std::nullopt};
  const auto in = [](Values v) { return LabelRestriction{true, false, std::move(v)}; };
  const Row rows[] = {
      {"all()", {}},
      {"a != 'x'", {}},
      {"a not in {'x'}", {}},
      {"!a == 'x'", {}},
      {"has(a)", {{"a", present}}},
      {"!has(a)", {{"a", absent}}},
      {"a contains 'x'", {{"a", present}}},
      {"a == 'x'", {{"a", in({"x"})}}},
      {"a in {'y','x'}", {{"a", in({"x", "y"})}}},
      {"a in {'y','x'} && a in {'x', 'z'} && has(b)", {{"a", in({"x"})}, {"b", present}}},
      {"a == 'x' && a == 'y'", {{"a", in({})}}},
      {"a == 'x' || a == 'y'", {{"a", in({"x", "y"})}}},
      {"a == 'x' || has(a)", {{"a", present}}},
      {"a == 'x' || has(b)", {}},
      {"a == 'x' || all()", {}},
      {"(a == 'x' && has(b)) || (a == 'y' && has(c))", {{"a", in({"x", "y"})}}},
      {"has(a) || !has(a)", {}},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.text);
    EXPECT_EQ(must(row.text).restrictions(), row.want);
  }
}

TEST(Selector, rewrites_labels_for_namespaces_and_service_accounts) {
  EXPECT_EQ(must("a == 'x' && all()").for_namespaces().canonical(),
            "(pcns.a == \"x\" && has(projectcalico.org/namespace))");
  EXPECT_EQ(must("global()").for_namespaces().canonical(), "!has(projectcalico.org/namespace)");
  EXPECT_EQ(must("has(a)").prefixed(kServiceAccountPrefix).canonical(), "has(pcsa.a)");
}

struct MergeRow {
  std::string name;
  EntityRule rule;
  std::string ns;
  std::string positive;  // empty: none
  std::string negative;
};

std::vector<MergeRow> merge_rows() {
  const auto rule = [](std::string selector, std::string not_selector, std::string ns_selector) {
    EntityRule r;
    r.selector = std::move(selector);
    r.not_selector = std::move(not_selector);
    r.namespace_selector = std::move(ns_selector);
    return r;
  };
  EntityRule accounts = rule("a == 'x'", "", "");
  accounts.service_accounts = ServiceAccountMatch{{"t", "s"}, "has(r)"};
  const std::string own = "projectcalico.org/namespace == \"n\"";
  return {
      {"nothing", rule("", "", ""), "n", "", ""},
      {"own namespace", rule("has(a)", "", ""), "n", "(" + own + " && has(a))", ""},
      {"global", rule("has(a)", "", ""), "", "has(a)", ""},
      {"not, own namespace", rule("", "has(a)", ""), "n", "(" + own + " && !has(a))", ""},
      {"not, global", rule("", "has(a)", ""), "", "", "has(a)"},
      {"both", rule("has(a)", "has(b)", ""), "", "(has(a) && !has(b))", ""},
      {"namespaces", rule("", "", "has(t)"), "n", "has(pcns.t)", ""},
      {"namespaces and rest", rule("has(a)", "", "all()"), "n",
       "(has(projectcalico.org/namespace) && has(a))", ""},
      {"accounts", accounts, "",
       "(a == \"x\" && (projectcalico.org/serviceaccount in {\"s\", \"t\"} && has(pcsa.r)))", ""},
  };
}

TEST(SelectorMerge, follows_the_table_of_rule_selectors) {
  for (const auto& row : merge_rows()) {
    SCOPED_TRACE(row.name);
    const auto got = entity_selectors(row.rule, row.ns);
    ASSERT_TRUE(got.ok());
    EXPECT_EQ(got->positive ? got->positive->canonical() : "", row.positive);
    EXPECT_EQ(got->negative ? got->negative->canonical() : "", row.negative);
  }
}

TEST(SelectorMerge, scopes_a_policy) {
  PolicySpec spec;
  EXPECT_EQ(policy_selector(spec, "")->canonical(), "all()");
  EXPECT_EQ(policy_selector(spec, "n")->canonical(), "projectcalico.org/namespace == \"n\"");
  spec.selector = "has(a)";
  spec.namespace_selector = "has(b)";
  spec.service_account_selector = "has(c)";
  EXPECT_EQ(policy_selector(spec, "")->canonical(), "((has(a) && has(pcns.b)) && has(pcsa.c))");
  spec.selector = "has(";
  EXPECT_NE(policy_selector(spec, "").error().context.find("selector: "), std::string::npos);
}

}  // namespace
}  // namespace margay::model
