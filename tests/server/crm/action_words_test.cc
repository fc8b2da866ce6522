#include "server/crm/action_words.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/status.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> Masked(const std::vector<std::string>& words, const char* path = "") {
  std::optional<ObjectPath> parsed;
  if (*path != '\0') parsed = *ObjectPath::Parse(path);
  return MaskedActionWords(words, parsed);
}

TEST(CheckActionWordsTest, AnyBytesButNulWillDo) {
  EXPECT_THAT(CheckActionWords({"start"}), IsOk());
  EXPECT_THAT(CheckActionWords({"\xff", "", "a b\n$(x)"}), IsOk());
  const absl::Status nul = CheckActionWords({"start", std::string("a\0b", 3)});
  EXPECT_THAT(nul, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("word 2")));
  EXPECT_EQ(FieldOf(nul), "command.arguments");
}

TEST(CheckActionWordsTest, ThereIsAnActionAndNeitherTooManyNorTooLongWords) {
  EXPECT_THAT(CheckActionWords({}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(CheckActionWords({""}), StatusIs(absl::StatusCode::kInvalidArgument));
  std::vector<std::string> words(kMaxActionWords, "x");
  EXPECT_THAT(CheckActionWords(words), IsOk());
  words.emplace_back("x");
  EXPECT_THAT(CheckActionWords(words), StatusIs(absl::StatusCode::kInvalidArgument));
  // Each word counts with its final NUL.
  EXPECT_THAT(CheckActionWords({"x", std::string(kMaxActionBytes - 3, 'y')}), IsOk());
  EXPECT_THAT(CheckActionWords({"x", std::string(kMaxActionBytes - 2, 'y')}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(MaskedActionWordsTest, ValuesOfSecretKeywordsAreMaskedInEveryForm) {
  EXPECT_THAT(Masked({"set", "--kw", "cluster.secret=abc", "--kw=hb#1.secret=abc"}),
              ElementsAre("set", "--kw", "cluster.secret=***", "--kw=hb#1.secret=***"));
  EXPECT_THAT(Masked({"set", "--kw", "arbitrator#a.secret@n1+=abc"}),
              ElementsAre("set", "--kw", "arbitrator#a.secret@n1+=***"));
  EXPECT_THAT(Masked({"set", "--param", "cluster.secret", "--value", "abc"}),
              ElementsAre("set", "--param", "cluster.secret", "--value", "***"));
  EXPECT_THAT(Masked({"set", "--value=abc", "--param=cluster.secret"}),
              ElementsAre("set", "--value=***", "--param=cluster.secret"));
}

TEST(MaskedActionWordsTest, PasswordsAndKeysOfSecretObjectsAreMasked) {
  EXPECT_THAT(Masked({"join", "--secret", "abc", "--node=n1"}),
              ElementsAre("join", "--secret", "***", "--node=n1"));
  EXPECT_THAT(Masked({"login", "--password=abc"}), ElementsAre("login", "--password=***"));
  const std::vector<std::string> add = {"add", "--key", "k", "--value", "v"};
  EXPECT_THAT(Masked(add, "ns1/sec/s1"), ElementsAre("add", "--key", "k", "--value", "***"));
  EXPECT_THAT(Masked(add, "ns1/cfg/c1"), ElementsAre("add", "--key", "k", "--value", "v"));
}

TEST(MaskedActionWordsTest, ValuesOfAnyKeywordAreMaskedForTheyMayBePasswords) {
  EXPECT_THAT(Masked({"set", "--kw", "env.password=abc", "--kw=env.x+=a=b"}, "svc1"),
              ElementsAre("set", "--kw", "env.password=***", "--kw=env.x+=***"));
  EXPECT_THAT(Masked({"set", "--param", "node.uuid", "--value", "abc"}),
              ElementsAre("set", "--param", "node.uuid", "--value", "***"));
  EXPECT_THAT(Masked({"set", "--kw", "--odd=abc"}), ElementsAre("set", "--kw", "--odd=***"));
  EXPECT_THAT(Masked({"run", "--env", "PASS=abc", "--env=B=c"}),
              ElementsAre("run", "--env", "PASS=***", "--env=B=***"));
}

TEST(MaskedActionWordsTest, EverythingElseStaysAsItIs) {
  const std::vector<std::string> words = {"run", "--rid", "app#1",   "--value",       "z",
                                          "a=b", "--kw",  "nothing", "--unset=env.x", "--secret"};
  EXPECT_EQ(Masked(words, "svc1"), words);
}

}  // namespace
}  // namespace om
