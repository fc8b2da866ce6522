#include "server/config/keywords.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

std::vector<ConfigProblem> Check(KeywordFile file, absl::string_view text) {
  const absl::StatusOr<Document> document = Document::Parse(text, "x.conf");
  EXPECT_THAT(document, IsOk());
  return CheckDocument(file, *document);
}

TEST(KeywordsTest, EveryDefaultPassesItsOwnCheckAndEveryRowIsDescribed) {
  std::set<std::string> seen;
  for (const Keyword& keyword : AllKeywords()) {
    const std::string name = absl::StrCat(keyword.section, ".", keyword.name);
    EXPECT_TRUE(seen.insert(absl::StrCat(static_cast<int>(keyword.file), name)).second) << name;
    EXPECT_STRNE(keyword.description, "") << name;
    EXPECT_FALSE(DescribeExpectation(keyword).empty()) << name;
    if (keyword.default_text != nullptr) {
      EXPECT_THAT(CheckValue(keyword, keyword.default_text), IsOk()) << name;
    }
  }
}

TEST(KeywordsTest, DaemonKeywordsHaveTheDocumentedDefaults) {
  const std::vector<std::pair<std::string, std::string>> defaults = {
      {"node.env", "TST"},
      {"node.maintenance_grace_period", "60"},
      {"node.rejoin_grace_period", "90"},
      {"node.ready_period", "5"},
      {"node.max_parallel", "10"},
      {"node.min_avail_mem", "2%"},
      {"node.min_avail_swap", "10%"},
      {"cluster.name", "default"},
      {"cluster.quorum", "false"},
      {"listener.addr", "0.0.0.0"},
      {"listener.port", "1214"},
      {"listener.tls_addr", "0.0.0.0"},
      {"listener.tls_port", "1215"},
      {"listener.grpc_addr", "127.0.0.1"},
      {"listener.grpc_port", "1216"},
      {"listener.grpc_group", ""},
      {"listener.max_connections", "1024"},
      {"listener.max_connections_per_addr", "128"},
      {"listener.request_timeout", "6"},
      {"listener.max_request_size", "1m"},
      {"compat.enabled", "true"},
      {"compat.level", "10"},
      {"compat.check_sender", "true"},
      {"compat.allow_short_secret", "false"},
      {"compat.replay_check", "true"},
      {"crm.command", "omcrm"},
      {"crm.node_command", "om node"},
      {"hb#1.timeout", "15"},
      {"hb#1.port", "10000"},
      {"arbitrator#1.timeout", "5"},
  };
  for (const auto& [param, text] : defaults) {
    const size_t dot = param.find('.');
    const Keyword* keyword =
        FindKeyword(KeywordFile::kNode, param.substr(0, dot), param.substr(dot + 1));
    ASSERT_NE(keyword, nullptr) << param;
    ASSERT_NE(keyword->default_text, nullptr) << param;
    EXPECT_EQ(keyword->default_text, text) << param;
  }
}

TEST(KeywordsTest, TheMostSpecificSectionAndAliasesAreFound) {
  const Keyword* task = FindKeyword(KeywordFile::kObject, "task#1", "optional");
  const Keyword* fs = FindKeyword(KeywordFile::kObject, "fs#1", "optional");
  ASSERT_NE(task, nullptr);
  ASSERT_NE(fs, nullptr);
  EXPECT_STREQ(task->default_text, "true");
  EXPECT_STREQ(fs->default_text, "false");
  const Keyword* alias = FindKeyword(KeywordFile::kObject, "DEFAULT", "flex_min_nodes");
  ASSERT_NE(alias, nullptr);
  EXPECT_STREQ(alias->name, "flex_min");
  EXPECT_EQ(FindKeyword(KeywordFile::kNode, "hb#", "type"), nullptr);
  EXPECT_EQ(FindKeyword(KeywordFile::kNode, "app#1", "type"), nullptr);
}

TEST(KeywordsTest, ResourceSectionsAreThoseOfKnownGroups) {
  for (const char* section : {"ip#0", "app#web", "hash_policy#1", "sync#i0"}) {
    EXPECT_TRUE(IsResourceSection(section)) << section;
  }
  for (const char* section : {"app", "app#", "DEFAULT", "subset#app", "env", "foo#1", "#1"}) {
    EXPECT_FALSE(IsResourceSection(section)) << section;
  }
}

TEST(KeywordsTest, ErrorsNameFileLineKeywordValueAndExpectation) {
  const std::vector<ConfigProblem> problems =
      Check(KeywordFile::kNode, "[listener]\n# c\nport = http\n");
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_FALSE(problems[0].warning);
  EXPECT_EQ(problems[0].ToString(), "x.conf:3: listener.port: expected an integer, found \"http\"");
  const absl::Status status = problems[0].ToStatus();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(status), "listener.port");
}

TEST(KeywordsTest, RangesAndAllowedValuesHold) {
  const auto fault = [](absl::string_view text) {
    const std::vector<ConfigProblem> problems = Check(KeywordFile::kNode, text);
    return problems.size() == 1 ? problems[0].message : "";
  };
  EXPECT_EQ(fault("[listener]\nport = 65536\n"),
            "expected an integer from 0 to 65535, found \"65536\"");
  EXPECT_EQ(fault("[daemon]\nsigterm = die\n"), "expected one of stop, shutdown, found \"die\"");
  EXPECT_EQ(fault("[hb#1]\ntype = pigeon\n"),
            "expected one of unicast, multicast, disk, relay, found \"pigeon\"");
  EXPECT_THAT(fault("[node]\nready_period = 10x\n"), HasSubstr("expected a duration"));
  EXPECT_THAT(fault("[crm]\ncommand = \"om\n"), HasSubstr("closing"));
  EXPECT_THAT(fault("[listener]\nmax_request_size = 2%\n"), HasSubstr("expected a size"));
  EXPECT_EQ(fault("[listener]\nport = 65535\n"), "");
}

TEST(KeywordsTest, AScopedSpellingOfAnUnscopableKeywordIsAnError) {
  const std::vector<ConfigProblem> problems = Check(
      KeywordFile::kNode, "[listener]\nport@n1 = 1\n[hb#1]\naddr@n1 = a\n[node]\nenv@ = TST\n");
  ASSERT_THAT(problems, SizeIs(2));
  EXPECT_FALSE(problems[0].warning);
  EXPECT_THAT(problems[0].ToString(),
              AllOf(HasSubstr("x.conf:2: listener.port@n1:"), HasSubstr("without a scope")));
  EXPECT_EQ(problems[1].line, 6);
}

TEST(KeywordsTest, UnknownKeywordsOfKnownSectionsAreDoubtfulOnly) {
  const std::vector<ConfigProblem> problems =
      Check(KeywordFile::kNode, "[node]\nloc_city = Paris\n[labels]\naz = fr\n[asset]\nx = 1\n");
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_TRUE(problems[0].warning);
  EXPECT_EQ(problems[0].param, "node.loc_city");
}

TEST(KeywordsTest, ReferencesAreLeftToEvaluation) {
  EXPECT_THAT(Check(KeywordFile::kNode, "[listener]\nport = {env.port}\n"), IsEmpty());
  EXPECT_THAT(Check(KeywordFile::kObject, "[DEFAULT]\nflex_min = $({#nodes} - 1)\n"), IsEmpty());
}

TEST(KeywordsTest, ObjectSectionsAreChecked) {
  EXPECT_THAT(Check(KeywordFile::kObject,
                    "[DEFAULT]\nnodes@n1 = *\nmonitor = true\nplacement = nodes order\n"
                    "[app#1]\ntype = simple\nstart@n1 = /bin/x\nstop_timeout@nodes = 1m\n"
                    "[data]\nany key = 1\n[env]\nx = 1\n[subset#app:g1]\nparallel = true\n"),
              IsEmpty());
  const std::vector<ConfigProblem> problems =
      Check(KeywordFile::kObject,
            "[DEFAULT]\ntopology = ring\nflex_min@n1 = 1\n[app#1]\nrestart = many\nkill = all\n");
  ASSERT_THAT(problems, SizeIs(4));
  EXPECT_EQ(problems[0].param, "DEFAULT.topology");
  EXPECT_EQ(problems[1].param, "DEFAULT.flex_min@n1");
  EXPECT_EQ(problems[2].param, "app#1.restart");
  EXPECT_EQ(problems[3].param, "app#1.kill");
}

TEST(KeywordsTest, SecretsAreInNoMessage) {
  Keyword keyword = *FindKeyword(KeywordFile::kNode, "cluster", "secret");
  keyword.type = KeywordType::kInteger;
  EXPECT_THAT(CheckValue(keyword, "topsecret"),
              StatusIs(absl::StatusCode::kInvalidArgument, Not(HasSubstr("topsecret"))));
}

}  // namespace
}  // namespace om
