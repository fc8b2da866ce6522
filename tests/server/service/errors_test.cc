#include "server/service/errors.h"

#include <filesystem>
#include <regex>
#include <set>
#include <string>

#include "server/base/file.h"
#include "server/base/status.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using absl::StatusCode;

TEST(ErrorRulesTest, ReasonsAreUniqueUpperSnakeCaseWords) {
  std::set<std::string> seen;
  for (const ErrorRule& rule : ErrorRules()) {
    const std::string reason(rule.reason);
    EXPECT_TRUE(seen.insert(reason).second) << reason;
    // As google.rpc.ErrorInfo has them.
    EXPECT_TRUE(std::regex_match(reason, std::regex("[A-Z][A-Z0-9_]+[A-Z0-9]"))) << reason;
    EXPECT_LE(reason.size(), 63u);
    EXPECT_NE(rule.code, StatusCode::kOk) << reason;
    EXPECT_NE(rule.legacy_status, 0) << reason << ": a legacy client would take it for a success";
  }
}

TEST(ErrorRulesTest, EveryCodeHasARuleOfItsOwnCode) {
  for (int code = 1; code <= 16; ++code) {
    const ErrorRule& rule = RuleOf(absl::Status(static_cast<StatusCode>(code), "message"));
    // What a service should not say of itself is a fault.
    const bool ours = static_cast<StatusCode>(code) != StatusCode::kUnknown &&
                      static_cast<StatusCode>(code) != StatusCode::kDataLoss;
    EXPECT_EQ(rule.code, ours ? static_cast<StatusCode>(code) : StatusCode::kInternal) << code;
  }
}

TEST(ErrorRulesTest, MakeErrorGivesTheRowsCodeAndReason) {
  for (const ErrorRule& rule : ErrorRules()) {
    const absl::Status error = MakeError(rule.reason, "message");
    EXPECT_EQ(error.code(), rule.code);
    EXPECT_EQ(ReasonOf(error), std::string(rule.reason));
    EXPECT_EQ(error.message(), "message");
    EXPECT_EQ(&RuleOf(error), &rule);
  }
}

TEST(ErrorRulesTest, AReasonThatIsNotInTheTableFallsBackToTheCode) {
  const ErrorRule& rule = RuleOf(WithReason(absl::NotFoundError("x"), "SOMETHING_ELSE"));
  EXPECT_EQ(rule.reason, "NOT_FOUND");
}

TEST(ErrorRulesDeathTest, AReasonWithoutRowIsAFaultOfOurs) {
  EXPECT_DEATH((void)MakeError("NO_SUCH_REASON", "x"), "NO_SUCH_REASON");
}

TEST(ErrorRulesTest, AMissingConfigurationHasTheNumberThatLegacyClientsKnow) {
  EXPECT_EQ(RuleOf(MakeError("CONFIG_FILE_MISSING", "x")).legacy_status, 3);
}

// Reasons are what clients act on: one that the code attaches and the table lacks would reach them
// without its hint, and nobody would know that it exists.
TEST(ErrorRulesTest, EveryReasonThatTheDaemonAttachesIsInTheTable) {
  std::set<std::string> known;
  for (const ErrorRule& rule : ErrorRules()) known.insert(std::string(rule.reason));
  const std::regex attached(R"re((?:WithReason|MakeError)\([^;]*?"([A-Z]+_[A-Z_]+)")re");
  int found = 0;
  for (const char* folder : {"config", "state", "core", "service"}) {
    for (const auto& entry :
         std::filesystem::directory_iterator(std::string(OM_SOURCE_DIR "/server/") + folder)) {
      if (entry.path().extension() != ".cc") continue;
      OM_ASSERT_OK_AND_ASSIGN(const FileContent file, ReadFile(entry.path().string(), 8 << 20));
      for (std::sregex_iterator it(file.text.begin(), file.text.end(), attached), end; it != end;
           ++it) {
        EXPECT_EQ(known.count((*it)[1].str()), 1u) << (*it)[1] << " of " << entry.path();
        ++found;
      }
    }
  }
  EXPECT_GE(found, 8);
}

}  // namespace
}  // namespace om
