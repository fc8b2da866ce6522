#include "compat/wire/envelope.h"

#include <string>

#include "server/base/status.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::HasSubstr;

TEST(EnvelopeTest, FieldsAreReadAndUnknownKeysIgnored) {
  OM_ASSERT_OK_AND_ASSIGN(
      const Envelope envelope,
      ParseEnvelope(" \n{\"x\": [{}], \"clustername\": \"demo\", \"nodename\": \"n\\u00f6de\", "
                    "\"iv\": \"\", \"data\": \"*\"} "));
  EXPECT_EQ(envelope.clustername, "demo");
  EXPECT_EQ(envelope.nodename,
            "n\xc3\xb6"
            "de");
  EXPECT_EQ(envelope.iv, "");
  EXPECT_EQ(envelope.data, "*");
}

TEST(EnvelopeTest, TheErrorSaysWhatWasMetAndWhatWasExpected) {
  const auto reason = [](absl::string_view text) { return ReasonOf(ParseEnvelope(text).status()); };
  EXPECT_EQ(reason("garbage"), "ENVELOPE_NOT_JSON");
  EXPECT_EQ(reason(""), "ENVELOPE_NOT_JSON");
  EXPECT_EQ(reason(absl::string_view("{}\0{}", 5)), "ENVELOPE_NOT_JSON");
  EXPECT_EQ(reason("null"), "ENVELOPE_NOT_AN_OBJECT");
  EXPECT_EQ(reason("[]"), "ENVELOPE_NOT_AN_OBJECT");
  const std::string head = R"({"clustername": "demo", "nodename": )";
  EXPECT_THAT(ParseEnvelope(head + "5}"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("nodename is number: expected a string")));
  EXPECT_THAT(ParseEnvelope(head + "null}"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nodename is null")));
  EXPECT_THAT(ParseEnvelope(head + "\"\"}"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("iv is missing")));
  EXPECT_EQ(FieldOf(ParseEnvelope(head + "\"\", \"iv\": \"\", \"data\": {}}").status()), "data");
}

TEST(EnvelopeTest, DepthIsBoundedInKeysWeDoNotKnowToo) {
  const std::string rest = R"("clustername": "demo", "nodename": "a", "iv": "", "data": "", "x": )";
  EXPECT_THAT(ParseEnvelope("{" + rest + std::string(15, '[') + std::string(15, ']') + "}"),
              IsOk());
  EXPECT_THAT(ParseEnvelope("{" + rest + std::string(16, '[') + std::string(16, ']') + "}"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit of 16")));
}

}  // namespace
}  // namespace om
