#include "compat/wire/frame.h"

#include <string>

#include "gtest/gtest.h"

namespace om {
namespace {

using State = RequestReader::State;

TEST(RequestReaderTest, ARequestEndsWithTheChunkThatEndsWithNul) {
  RequestReader reader;
  EXPECT_EQ(reader.Feed("{\"a\""), State::kNeedMore);
  EXPECT_EQ(reader.Feed(""), State::kNeedMore);
  EXPECT_EQ(reader.Feed(absl::string_view(": 1}\0", 5)), State::kComplete);
  EXPECT_EQ(reader.kind(), RawRequestKind::kMessage);
  EXPECT_EQ(reader.TakeText(), "{\"a\": 1}");
}

TEST(RequestReaderTest, ANulInsideAChunkIsNoEnd) {
  RequestReader reader;
  EXPECT_EQ(reader.Feed(absl::string_view("{}\0{", 4)), State::kNeedMore);
  EXPECT_EQ(reader.Feed(absl::string_view("}\0\0", 3)), State::kComplete);
  EXPECT_EQ(reader.TakeText(), std::string("{}\0{}", 5));
}

TEST(RequestReaderTest, EndOfStreamIsAsGoodAsANul) {
  RequestReader reader;
  reader.Feed("{}");
  EXPECT_EQ(reader.Finish(), State::kComplete);
  EXPECT_EQ(reader.kind(), RawRequestKind::kMessage);
  EXPECT_EQ(reader.TakeText(), "{}");
}

TEST(RequestReaderTest, EndOfStreamWithoutABytesIsTheEmptyPacket) {
  RequestReader reader;
  EXPECT_EQ(reader.Finish(), State::kComplete);
  EXPECT_EQ(reader.kind(), RawRequestKind::kEmpty);
  EXPECT_EQ(reader.TakeText(), "");
}

TEST(RequestReaderTest, NulsAloneAreNotTheEmptyPacket) {
  RequestReader reader;
  EXPECT_EQ(reader.Feed(absl::string_view("\0\0", 2)), State::kComplete);
  EXPECT_EQ(reader.kind(), RawRequestKind::kNulsOnly);
  EXPECT_EQ(reader.TakeText(), "");
}

TEST(RequestReaderTest, DequeueActionsIsMagicOnlyWithoutNulAndAtTheEndOfTheStream) {
  RequestReader reader;
  EXPECT_EQ(reader.Feed("dequeue_"), State::kNeedMore);
  EXPECT_EQ(reader.Feed("actions"), State::kNeedMore);
  EXPECT_EQ(reader.Finish(), State::kComplete);
  EXPECT_EQ(reader.kind(), RawRequestKind::kDequeueActions);

  RequestReader with_nul;
  EXPECT_EQ(with_nul.Feed(absl::string_view("dequeue_actions\0", 16)), State::kComplete);
  EXPECT_EQ(with_nul.kind(), RawRequestKind::kMessage);

  RequestReader longer;
  longer.Feed("dequeue_actions\n");
  longer.Finish();
  EXPECT_EQ(longer.kind(), RawRequestKind::kMessage);
}

TEST(RequestReaderTest, BytesThatAreNotUtf8AreDropped) {
  RequestReader reader;
  reader.Feed(absl::string_view("{\xff}\xc3\0", 5));
  EXPECT_EQ(reader.TakeText(), "{}");
}

TEST(RequestReaderTest, TheLimitIsTheLastSizeAccepted) {
  RequestReader at_limit(8);
  EXPECT_EQ(at_limit.Feed("1234"), State::kNeedMore);
  EXPECT_EQ(at_limit.Feed(absl::string_view("567\0", 4)), State::kComplete);
  EXPECT_EQ(at_limit.TakeText(), "1234567");

  RequestReader beyond(8);
  EXPECT_EQ(beyond.Feed("1234"), State::kNeedMore);
  EXPECT_EQ(beyond.Feed(absl::string_view("5678\0", 5)), State::kTooLarge);
  EXPECT_EQ(beyond.received_bytes(), 0u);
  EXPECT_EQ(beyond.Feed("9"), State::kTooLarge);
  EXPECT_EQ(beyond.Finish(), State::kTooLarge);
}

TEST(RequestReaderTest, TheDefaultLimitIsOneMebibyte) {
  RequestReader reader;
  EXPECT_EQ(reader.Feed(std::string(1 << 20, 'x')), State::kNeedMore);
  EXPECT_EQ(reader.Feed("x"), State::kTooLarge);
}

TEST(RequestReaderTest, WhatComesAfterTheRequestIsDiscarded) {
  RequestReader reader;
  reader.Feed(absl::string_view("{}\0", 3));
  EXPECT_EQ(reader.Feed("."), State::kComplete);
  EXPECT_EQ(reader.TakeText(), "{}");
}

TEST(RequestReaderTest, ATrickledRequestReadsLikeAWholeOne) {
  const std::string request = std::string(200'000, 'x') + '\0';
  RequestReader reader;
  for (size_t i = 0; i + 1 < request.size(); ++i) {
    ASSERT_EQ(reader.Feed(absl::string_view(request).substr(i, 1)), State::kNeedMore);
  }
  EXPECT_EQ(reader.Feed(absl::string_view(request).substr(request.size() - 1)), State::kComplete);
  EXPECT_EQ(reader.TakeText(), std::string(200'000, 'x'));
}

}  // namespace
}  // namespace om
