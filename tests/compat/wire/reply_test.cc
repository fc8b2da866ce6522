#include "compat/wire/reply.h"

#include <string>

#include "gtest/gtest.h"

namespace om {
namespace {

TEST(ReplyTest, ReadsAsLegacyPeersWriteIt) {
  EXPECT_EQ(ReplyText(ErrorReply("invalid data format")),
            R"({"error": "invalid data format", "status": 1})");
  EXPECT_EQ(ReplyText(ErrorReply("gone \xc3\xa9", 503)),
            R"({"error": "gone \u00e9", "status": 503})");
}

TEST(ReplyTest, AClearReplyEndsWithOneNul) { EXPECT_EQ(ClearReply("{}"), std::string("{}\0", 3)); }

}  // namespace
}  // namespace om
