#include "server/config/evaluate.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class EvaluateTest : public ::testing::Test {
 protected:
  EvaluateTest() {
    context_.nodename = "n1";
    context_.roots = Roots::Under("/r");
    context_.path = *ObjectPath::Parse("test/svc/3.web.front");
    context_.cluster = {"prod", "cid", {"n1", "n2", "n3"}, {"d1"}, {}};
  }

  void Load(absl::string_view text) {
    absl::StatusOr<Document> document = Document::Parse(text, "x.conf");
    ASSERT_THAT(document, IsOk());
    document_ = *std::move(document);
  }
  // The value, "<unset>", or the error's text.
  std::string Get(absl::string_view section, absl::string_view key, bool scopable = true,
                  Inheritance inheritance = Inheritance::kLeaf) {
    const Evaluator evaluator({&document_}, &context_);
    const absl::StatusOr<std::optional<EvaluatedValue>> value =
        evaluator.Get(section, key, scopable, inheritance);
    if (!value.ok()) return absl::StrCat("error: ", value.status().message());
    return value->has_value() ? (*value)->text : "<unset>";
  }
  std::string Expand(absl::string_view text, absl::string_view section = "DEFAULT") {
    const Evaluator evaluator({&document_}, &context_);
    const absl::StatusOr<std::optional<std::string>> value = evaluator.Expand(text, section);
    if (!value.ok()) return absl::StrCat("error: ", value.status().message());
    return value->has_value() ? **value : "<unset>";
  }

  EvaluationContext context_;
  Document document_;
};

TEST_F(EvaluateTest, TheFirstScopeThatAppliesWins) {
  // Each line is removed in turn: the next one must then count.
  const std::vector<std::pair<std::string, std::string>> lines = {
      {"k@n1", "exact"},
      {"k@nodes", "nodes"},
      {"k@drpnodes", "drpnodes"},
      {"k@encapnodes", "encapnodes"},
      {"k@flex_primary", "flex"},
      {"k@drp_flex_primary", "drpflex"},
      {"k", "plain"},
  };
  for (size_t removed = 0; removed < lines.size(); ++removed) {
    std::string text = "[DEFAULT]\nnodes = n1 n2\ndrpnodes = n1 d1\nencapnodes = n1\n";
    for (size_t i = lines.size(); i > removed; --i) {
      absl::StrAppend(&text, lines[i - 1].first, " = ", lines[i - 1].second, "\n");
    }
    Load(text);
    EXPECT_EQ(Get("DEFAULT", "k"), lines[removed].second);
  }
}

TEST_F(EvaluateTest, ScopesOfOthersDoNotApply) {
  Load(
      "[DEFAULT]\nnodes = n2 n1\nk@n2 = a\nk@drpnodes = b\nk@encapnodes = c\nk@flex_primary = d\n"
      "k@drp_flex_primary = e\nk@unknown = f\n");
  EXPECT_EQ(Get("DEFAULT", "k"), "<unset>");
  context_.nodename = "n2";
  EXPECT_EQ(Get("DEFAULT", "k"), "a");
}

TEST_F(EvaluateTest, FlexPrimaryIsTheFirstNodeUnlessSet) {
  Load("[DEFAULT]\nnodes = n1 n2\ndrpnodes = d1 d2\nk@flex_primary = f\nk@drp_flex_primary = g\n");
  EXPECT_EQ(Get("DEFAULT", "k"), "f");
  context_.nodename = "n2";
  EXPECT_EQ(Get("DEFAULT", "k"), "<unset>");
  context_.nodename = "d1";
  EXPECT_EQ(Get("DEFAULT", "k"), "g");
  ASSERT_THAT(document_.Set("DEFAULT", "flex_primary", "N2"), IsOk());
  context_.nodename = "n2";
  EXPECT_EQ(Get("DEFAULT", "k"), "f");
}

TEST_F(EvaluateTest, UnscopableKeywordsIgnoreScopes) {
  Load("[DEFAULT]\nk@n1 = a\nk = b\n");
  EXPECT_EQ(Get("DEFAULT", "k", /*scopable=*/false), "b");
}

TEST_F(EvaluateTest, AKeywordIsNeverScopedByItself) {
  Load("[DEFAULT]\nnodes@nodes = n3\nnodes = n1 n2\ndrpnodes@nodes = d1\nnodes@drpnodes = n9\n");
  const Evaluator evaluator({&document_}, &context_);
  EXPECT_THAT(evaluator.NodesOf("nodes"), ElementsAre("n1", "n2"));
  EXPECT_THAT(evaluator.NodesOf("drpnodes"), ElementsAre("d1"));
}

TEST_F(EvaluateTest, NodesAreSelectedFromTheCluster) {
  Load("[DEFAULT]\nnodes = n*\ndrpnode = D1\n");
  const Evaluator evaluator({&document_}, &context_);
  EXPECT_THAT(evaluator.NodesOf("nodes"), ElementsAre("n1", "n2", "n3"));
  EXPECT_THAT(evaluator.NodesOf("drpnodes"), ElementsAre("d1"));
  EXPECT_THAT(evaluator.NodesOf("encapnodes"), IsEmpty());
}

TEST_F(EvaluateTest, WithoutNodesAServiceIsHereAndADataObjectEverywhere) {
  Load("[DEFAULT]\n");
  const Evaluator evaluator({&document_}, &context_);
  EXPECT_THAT(evaluator.NodesOf("nodes"), ElementsAre("n1"));
  context_.path = *ObjectPath::Parse("test/cfg/c1");
  EXPECT_THAT(evaluator.NodesOf("nodes"), ElementsAre("n1", "n2", "n3"));
}

TEST_F(EvaluateTest, NodeFilesAreScopedByTheCluster) {
  context_.path.reset();
  absl::StatusOr<Document> cluster = Document::Parse(
      "[cluster]\nnodes = n1 n2\ndrpnodes = d1\n[hb#1]\ntimeout@nodes = 5\ntimeout@drpnodes = 6\n"
      "timeout = 7\nport@n1 = 1\n",
      "cluster.conf");
  Load("[hb#1]\nport = 2\ntimeout = 8\n");
  const Evaluator evaluator({&document_, &*cluster}, &context_);
  EXPECT_EQ((*evaluator.Get("hb#1", "timeout"))->text, "5");
  // Laid over each other first, then scoped.
  EXPECT_EQ((*evaluator.Get("hb#1", "port"))->text, "1");
  EXPECT_EQ((*evaluator.Get("hb#1", "port"))->Where(), "cluster.conf:8: hb#1.port@n1");
  context_.nodename = "d1";
  EXPECT_EQ((*evaluator.Get("hb#1", "timeout"))->text, "6");
  context_.nodename = "x";
  EXPECT_EQ((*evaluator.Get("hb#1", "timeout"))->text, "8");
  EXPECT_EQ((*evaluator.Get("hb#1", "timeout"))->file, "x.conf");
}

TEST_F(EvaluateTest, InheritanceChoosesTheSections) {
  Load("[DEFAULT]\na = head\nb = head\n[app#1]\na = leaf\nc = leaf\n");
  EXPECT_EQ(Get("app#1", "a", true, Inheritance::kLeafThenHead), "leaf");
  EXPECT_EQ(Get("app#1", "b", true, Inheritance::kLeafThenHead), "head");
  EXPECT_EQ(Get("app#1", "b", true, Inheritance::kLeaf), "<unset>");
  EXPECT_EQ(Get("app#1", "a", true, Inheritance::kHead), "head");
  EXPECT_EQ(Get("app#1", "c", true, Inheritance::kHead), "<unset>");
  EXPECT_EQ(Get("app#1", "a", true, Inheritance::kHeadThenLeaf), "head");
  EXPECT_EQ(Get("app#1", "c", true, Inheritance::kHeadThenLeaf), "leaf");
}

TEST_F(EvaluateTest, EveryBuiltInReferenceHasItsValue) {
  context_.nodename = "n1.example.com";
  Load("[DEFAULT]\nid = oid\n");
  const std::vector<std::pair<std::string, std::string>> values = {
      {"{nodename}", "n1.example.com"},
      {"{short_nodename}", "n1"},
      {"{namespace}", "test"},
      {"{kind}", "svc"},
      {"{path}", "test/svc/3.web.front"},
      {"{svcpath}", "test/svc/3.web.front"},
      {"{name}", "3.web.front"},
      {"{svcname}", "3.web.front"},
      {"{short_name}", "3"},
      {"{id}", "oid"},
      {"{scaler_name}", "web.front"},
      {"{scaler_short_name}", "web"},
      {"{rid}", "app#2"},
      {"{rindex}", "2"},
      {"{fqdn}", "3.web.front.test.svc.prod"},
      {"{domain}", "test.svc.prod"},
      {"{clusterid}", "cid"},
      {"{clustername}", "prod"},
      {"{clusternodes}", "n1 n2 n3"},
      {"{clusterdrpnodes}", "d1"},
      {"{etc}", "/r/etc"},
      {"{var}", "/r/var"},
      {"{private_var}", "/r/var/namespaces/test/svc/3.web.front/app#2"},
  };
  for (const auto& [text, value] : values) EXPECT_EQ(Expand(text, "app#2"), value) << text;
  context_.path = *ObjectPath::Parse("web");
  EXPECT_EQ(Expand("{namespace} {path}"), "root web");
  EXPECT_EQ(Expand("{rid}"), "<unset>");
}

TEST_F(EvaluateTest, ReferencesReachOtherKeywords) {
  context_.environment = {{"HOMEDIR", "/home/x"}};
  context_.node_keywords = {{"env", "PRD"}};
  Load(
      "[DEFAULT]\nbase = /srv\nonly = head\n[env]\nport = 80\nhomedir = no\n[app#1]\nbase = /opt\n"
      "a = {base}/x\nb = {only}\nc = {DEFAULT.base}\nd = {env.port}:{env.homedir}\n"
      "e = {app#2.Base}\nf = {node.env}\n[app#2]\nbase@n1 = scoped\nbase = plain\n");
  EXPECT_EQ(Get("app#1", "a"), "/opt/x");
  EXPECT_EQ(Get("app#1", "b"), "head");
  EXPECT_EQ(Get("app#1", "c"), "/srv");
  EXPECT_EQ(Get("app#1", "d"), "80:/home/x");
  EXPECT_EQ(Get("app#1", "e"), "scoped");
  EXPECT_EQ(Get("app#1", "f"), "PRD");
}

TEST_F(EvaluateTest, ModifiersCountsAndIndicesApply) {
  Load("[DEFAULT]\nnodes = n1 n2 n3\nwords = one two three\ni = 1\nmix = aB cD\n");
  EXPECT_EQ(Expand("{#words}"), "3");
  EXPECT_EQ(Expand("{#nodes}"), "3");
  EXPECT_EQ(Expand("{nodes}"), "n1 n2 n3");
  EXPECT_EQ(Expand("{words[0]}-{words[2]}"), "one-three");
  EXPECT_EQ(Expand("{words[{i}]}"), "two");
  EXPECT_EQ(Expand("x{words[7]}y"), "xy");
  EXPECT_EQ(Expand("{words[99999999999999999999]}"), "<unset>");
  EXPECT_EQ(Expand("{upper:mix}"), "AB CD");
  EXPECT_EQ(Expand("{lower:mix}"), "ab cd");
  EXPECT_EQ(Expand("{capitalize:mix}"), "Ab cd");
  EXPECT_EQ(Expand("{title:mix}"), "Ab Cd");
  EXPECT_EQ(Expand("{swapcase:mix}"), "Ab Cd");
  EXPECT_EQ(Expand("{upper:words[1]}"), "TWO");
}

TEST_F(EvaluateTest, ValuesMayBringNewReferences) {
  Load("[DEFAULT]\na = {b}/{b}\nb = {c}\nc = {nodename}\nd = {{e}}\ne = c\n");
  EXPECT_EQ(Get("DEFAULT", "a"), "n1/n1");
  EXPECT_EQ(Get("DEFAULT", "d"), "n1");
}

TEST_F(EvaluateTest, AnUnknownReferenceLeavesTheValueUnset) {
  Load("[DEFAULT]\na = x{nothing}\nb = {app#9.x}\nc = {safe://abc}\nd = {a}\ne = {env.none}\n");
  for (const char* key : {"a", "b", "c", "d", "e"})
    EXPECT_EQ(Get("DEFAULT", key), "<unset>") << key;
}

TEST_F(EvaluateTest, BracesThatHoldNoReferenceAreText) {
  Load("");
  for (const char* text : {"{}", "{ nodename }", "${HOME-x}", "awk '{print $1}'", "{\"a\": 1}",
                           "{a-b}", "{a b}", "}{", "{.x}", "{"}) {
    EXPECT_EQ(Expand(text), text);
  }
}

TEST_F(EvaluateTest, ALoopOfReferencesIsAnErrorThatNamesIt) {
  Load("[DEFAULT]\na = {b}\nb = {c}\nc = {a}\nself = {self}\nnodes = {nodes}\n");
  EXPECT_THAT(Get("DEFAULT", "a"),
              AllOf(HasSubstr("x.conf:2:"), HasSubstr("loop"),
                    HasSubstr("DEFAULT.a -> DEFAULT.b -> DEFAULT.c -> DEFAULT.a")));
  EXPECT_THAT(Get("DEFAULT", "self"), HasSubstr("loop"));
  EXPECT_THAT(Get("DEFAULT", "nodes"), HasSubstr("loop"));
  const Evaluator evaluator({&document_}, &context_);
  EXPECT_THAT(evaluator.NodesOf("nodes"), IsEmpty());
}

TEST_F(EvaluateTest, DepthWorkAndSizeAreBounded) {
  std::string text = "[DEFAULT]\n";
  for (int i = 0; i < 40; ++i) absl::StrAppend(&text, "d", i, " = {d", i + 1, "}\n");
  absl::StrAppend(&text, "d40 = x\n");
  for (int i = 0; i < 20; ++i) {
    absl::StrAppend(&text, "w", i, " = {w", i + 1, "}{w", i + 1, "}{w", i + 1, "}\n");
  }
  absl::StrAppend(&text, "w20 =\n");
  absl::StrAppend(&text, "big = ", std::string(4000, 'x'), "\n");
  text += "huge = ";
  for (int i = 0; i < 17; ++i) text += "{big}";
  text += "\n";
  Load(text);
  EXPECT_EQ(Get("DEFAULT", "d10"), "x");
  EXPECT_THAT(Get("DEFAULT", "d0"), AllOf(HasSubstr("x.conf:"), HasSubstr("32 deep")));
  EXPECT_THAT(Get("DEFAULT", "w0"), AllOf(HasSubstr("x.conf:"), HasSubstr("1000 references")));
  EXPECT_THAT(Get("DEFAULT", "huge"), AllOf(HasSubstr("x.conf:"), HasSubstr("65536 bytes")));
}

TEST_F(EvaluateTest, ExpressionsAreWorkedOutOnceReferencesAre) {
  Load(
      "[DEFAULT]\nnodes = n1 n2 n3\nn = $(1 + {#nodes})\nlist = a$({#nodes} * 2)b $(1 == 1)\n"
      "nested = $(1 + $(2 * 3))\nopen = $(\nquoted = $('$(1)')\n"
      "is_here = $({nodename} in (n1, n2))\n");
  EXPECT_EQ(Get("DEFAULT", "n"), "4");
  EXPECT_EQ(Get("DEFAULT", "list"), "a6b True");
  EXPECT_EQ(Get("DEFAULT", "nested"), "7");
  EXPECT_EQ(Get("DEFAULT", "open"), "$(");
  EXPECT_EQ(Get("DEFAULT", "quoted"), "1");
  EXPECT_EQ(Get("DEFAULT", "is_here"), "True");
  const Evaluator evaluator({&document_}, &context_);
  EXPECT_EQ(evaluator.GetRaw("DEFAULT", "n")->text, "$(1 + {#nodes})");
}

TEST_F(EvaluateTest, AnExpressionThatMakesNoSenseIsAnErrorWithItsPlaceAndWithoutItsText) {
  Load("[DEFAULT]\nn = $(1 + secret 2)\n");
  const Evaluator evaluator({&document_}, &context_);
  const absl::Status status = evaluator.Get("DEFAULT", "n").status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                               AllOf(HasSubstr("x.conf:2: DEFAULT.n:"), HasSubstr("at byte"),
                                     Not(HasSubstr("secret")))));
  EXPECT_EQ(FieldOf(status), "DEFAULT.n");
}

}  // namespace
}  // namespace om
