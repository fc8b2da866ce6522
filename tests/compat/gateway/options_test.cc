#include "compat/gateway/options.h"

#include "server/base/status.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using absl::StatusCode;
using ::testing::AllOf;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Optional;

TEST(OptionsTest, MissingAndNullOptionsAreUnset) {
  const Json options = {{"null", nullptr}};
  for (const char* name : {"null", "missing"}) {
    EXPECT_THAT(StringOption(options, name), IsOkAndHolds(Eq(std::nullopt)));
    EXPECT_THAT(BoolOption(options, name), IsOkAndHolds(Eq(std::nullopt)));
  }
}

TEST(OptionsTest, EmptyAndFalseAreNotUnset) {
  const Json options = {{"text", ""}, {"flag", false}};
  EXPECT_THAT(StringOption(options, "text"), IsOkAndHolds(Optional(Eq(""))));
  EXPECT_THAT(BoolOption(options, "flag"), IsOkAndHolds(Optional(Eq(false))));
}

TEST(OptionsTest, ValuesAreTakenAsTheyAre) {
  const Json options = {{"text", std::string("a\0b", 3)}, {"flag", true}};
  EXPECT_THAT(StringOption(options, "text"), IsOkAndHolds(Optional(Eq(std::string("a\0b", 3)))));
  EXPECT_THAT(BoolOption(options, "flag"), IsOkAndHolds(Optional(Eq(true))));
}

TEST(OptionsTest, NothingIsConvertedToAString) {
  for (const Json& value : {Json(1), Json(1.5), Json(true), Json::array({"x"}), Json::object()}) {
    EXPECT_THAT(StringOption({{"o", value}}, "o"), StatusIs(StatusCode::kInvalidArgument))
        << DumpJson(value);
  }
}

TEST(OptionsTest, NothingIsConvertedToABoolean) {
  for (const Json& value : {Json(0), Json(1), Json("true"), Json(""), Json::array()}) {
    EXPECT_THAT(BoolOption({{"o", value}}, "o"), StatusIs(StatusCode::kInvalidArgument))
        << DumpJson(value);
  }
}

TEST(OptionsTest, ErrorsNameOptionAndTypesButNotTheValue) {
  const absl::Status error = BoolOption({{"wait", "hunter2"}}, "wait").status();
  EXPECT_THAT(std::string(error.message()), AllOf(HasSubstr("wait"), HasSubstr("string"),
                                                  HasSubstr("boolean"), Not(HasSubstr("hunter2"))));
  EXPECT_EQ(FieldOf(error), "wait");
}

}  // namespace
}  // namespace om
