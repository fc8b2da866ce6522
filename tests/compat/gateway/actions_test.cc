#include "compat/gateway/actions.h"

#include <string>

#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace pb = control::v1;

pb::RunActionResponse Response(const std::string& out, const std::string& err, int ret) {
  pb::RunActionResponse response;
  response.mutable_action()->set_state(pb::ACTION_STATE_EXITED);
  response.mutable_action()->set_exit_code(ret);
  response.set_standard_output(out);
  response.set_standard_error(err);
  return response;
}

TEST(LegacyActionsTest, AReplyHasBothOutputsAndTheExitCode) {
  EXPECT_EQ(ActionReply(Response("ha\n", "oh\n", 3), true),
            *ParseJson(R"({"status": 0, "data": {"out": "ha\n", "err": "oh\n", "ret": 3}})"));
}

TEST(LegacyActionsTest, JsonFromAServiceIsTheReplyWhateverItsType) {
  for (const char* text : {R"({"a": 1})", "[1, 2]", "5\n", "null", "\"x\""}) {
    EXPECT_EQ(ActionReply(Response(text, "", 0), true), *ParseJson(text));
    EXPECT_EQ(ActionReply(Response(text, "", 0), false)["data"]["out"], text);
  }
}

TEST(LegacyActionsTest, OutputThatWasCutIsNeverTheReplyItself) {
  pb::RunActionResponse response = Response("[1]", "", 0);
  response.set_output_truncated(true);
  const Json reply = ActionReply(response, true);
  EXPECT_EQ(reply["data"]["out"], "[1]");
  EXPECT_THAT(reply["data"]["err"].get<std::string>(), HasSubstr("cut off"));
}

TEST(LegacyActionsTest, BytesThatAreNoTextAreDropped) {
  EXPECT_EQ(ActionReply(Response("a\xff"
                                 "b",
                                 "\xc3", 0),
                        true)["data"]["out"],
            "ab");
}

TEST(LegacyActionsTest, ASignalIsANegativeExitCode) {
  pb::RunActionResponse response = Response("", "", 0);
  response.mutable_action()->set_state(pb::ACTION_STATE_KILLED);
  response.mutable_action()->set_signal(9);
  EXPECT_EQ(ActionReply(response, true)["data"]["ret"], -9);
}

TEST(LegacyActionsTest, ACommandOfTheNodeNamesItsToolAndStaysOnThisNode) {
  absl::StatusOr<std::vector<std::string>> words = NodeCommandWords(
      {"/usr/bin/nodemgr", "get", "--node", "n2", "--kw", "a.b", "--daemon", "--node=n3"});
  ASSERT_THAT(words, IsOk());
  EXPECT_THAT(*words, ElementsAre("get", "--kw", "a.b", "--local"));
  words = NodeCommandWords({"om", "node", "get", "--local"});
  ASSERT_THAT(words, IsOk());
  EXPECT_THAT(*words, ElementsAre("get", "--local"));
}

TEST(LegacyActionsTest, AnotherProgramIsNotFound) {
  for (const std::vector<std::string>& cmd :
       {std::vector<std::string>{"get", "--kw"}, {"/bin/sh", "-c", "x"}, {"om", "svc1"}, {}}) {
    EXPECT_TRUE(absl::IsNotFound(NodeCommandWords(cmd).status()));
  }
}

}  // namespace
}  // namespace om
