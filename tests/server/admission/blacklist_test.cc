#include "server/admission/blacklist.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <atomic>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// The n-th of 2^32 IPv4 addresses.
AdmissionKey Key(uint32_t n) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(n);
  return AdmissionKey(
      *PeerAddress::FromSockaddr(reinterpret_cast<sockaddr*>(&address), sizeof(address)), false);
}

void BlacklistKey(Blacklist* blacklist, const AdmissionKey& key) {
  for (int i = 0; i < 5; ++i) blacklist->RecordInvalid(key);
  ASSERT_TRUE(blacklist->IsBlacklisted(key));
}

TEST(BlacklistTest, TheFifthInvalidMessageInARowBlacklists) {
  Blacklist blacklist({});
  for (int i = 1; i <= 4; ++i) {
    const Blacklist::InvalidResult result = blacklist.RecordInvalid(Key(1));
    EXPECT_EQ(result.count, i);
    EXPECT_FALSE(result.became_blacklisted);
    EXPECT_FALSE(blacklist.IsBlacklisted(Key(1)));
  }
  const Blacklist::InvalidResult fifth = blacklist.RecordInvalid(Key(1));
  EXPECT_EQ(fifth.count, 5);
  EXPECT_TRUE(fifth.became_blacklisted);
  EXPECT_TRUE(blacklist.IsBlacklisted(Key(1)));
  EXPECT_FALSE(blacklist.IsBlacklisted(Key(2)));
}

TEST(BlacklistTest, AValidMessageStartsTheCountAgain) {
  Blacklist blacklist({});
  for (int i = 0; i < 4; ++i) blacklist.RecordInvalid(Key(1));
  blacklist.RecordValid(Key(1));
  EXPECT_THAT(blacklist.Entries(), IsEmpty());
  EXPECT_EQ(blacklist.RecordInvalid(Key(1)).count, 1);
}

TEST(BlacklistTest, OnceBlacklistedNothingIsCountedAndNothingValidHelps) {
  Blacklist blacklist({});
  BlacklistKey(&blacklist, Key(1));
  const Blacklist::InvalidResult late = blacklist.RecordInvalid(Key(1));
  EXPECT_EQ(late.count, 5);
  EXPECT_FALSE(late.became_blacklisted);
  blacklist.RecordValid(Key(1));
  EXPECT_TRUE(blacklist.IsBlacklisted(Key(1)));
}

TEST(BlacklistTest, EntriesTellCountsBelowTheThresholdToo) {
  Blacklist blacklist({});
  BlacklistKey(&blacklist, Key(2));
  blacklist.RecordInvalid(Key(1));
  const std::vector<Blacklist::Entry> entries = blacklist.Entries();
  ASSERT_THAT(entries, SizeIs(2));
  EXPECT_EQ(entries[0].key, Key(1));
  EXPECT_EQ(entries[0].count, 1);
  EXPECT_FALSE(entries[0].blacklisted);
  EXPECT_EQ(entries[1].key, Key(2));
  EXPECT_EQ(entries[1].count, 5);
  EXPECT_TRUE(entries[1].blacklisted);
}

TEST(BlacklistTest, ClearForgetsAllOrOne) {
  Blacklist blacklist({});
  BlacklistKey(&blacklist, Key(1));
  BlacklistKey(&blacklist, Key(2));
  blacklist.RecordInvalid(Key(3));
  EXPECT_EQ(blacklist.Clear(Key(4)), 0u);
  EXPECT_EQ(blacklist.Clear(Key(3)), 0u);
  EXPECT_EQ(blacklist.Clear(Key(1)), 1u);
  EXPECT_FALSE(blacklist.IsBlacklisted(Key(1)));
  EXPECT_TRUE(blacklist.IsBlacklisted(Key(2)));
  blacklist.RecordInvalid(Key(3));
  EXPECT_EQ(blacklist.Clear(), 1u);
  EXPECT_THAT(blacklist.Entries(), IsEmpty());
  EXPECT_EQ(blacklist.RecordInvalid(Key(2)).count, 1);
}

TEST(BlacklistTest, AFloodOfAddressesStaysWithinTheBoundAndFreesNoBlacklistedOne) {
  Blacklist blacklist({});
  BlacklistKey(&blacklist, Key(7));
  for (uint32_t n = 1'000; n < 1'001'000; ++n) blacklist.RecordInvalid(Key(n));
  EXPECT_EQ(blacklist.size(), 65536u);
  EXPECT_THAT(blacklist.Entries(), SizeIs(65536));
  EXPECT_TRUE(blacklist.IsBlacklisted(Key(7)));
  EXPECT_EQ(blacklist.evicted_blacklisted(), 0);
  // The latest are the ones remembered.
  EXPECT_EQ(blacklist.RecordInvalid(Key(1'000'999)).count, 2);
  EXPECT_EQ(blacklist.RecordInvalid(Key(1'000)).count, 1);
}

TEST(BlacklistTest, AnAddressThatGoesOnMisbehavingIsNotTheOldest) {
  Blacklist blacklist({5, 3});
  for (uint32_t n = 1; n <= 3; ++n) blacklist.RecordInvalid(Key(n));
  blacklist.RecordInvalid(Key(1));
  blacklist.RecordInvalid(Key(4));  // In the place of 2.
  EXPECT_EQ(blacklist.RecordInvalid(Key(1)).count, 3);
  EXPECT_EQ(blacklist.RecordInvalid(Key(2)).count, 1);
}

TEST(BlacklistTest, WhenAllAreBlacklistedTheFirstOfThemMakesRoomAndIsCounted) {
  Blacklist blacklist({5, 3});
  for (uint32_t n = 1; n <= 3; ++n) BlacklistKey(&blacklist, Key(n));
  EXPECT_EQ(blacklist.RecordInvalid(Key(4)).count, 1);
  EXPECT_EQ(blacklist.evicted_blacklisted(), 1);
  EXPECT_FALSE(blacklist.IsBlacklisted(Key(1)));
  EXPECT_TRUE(blacklist.IsBlacklisted(Key(2)));
  EXPECT_EQ(blacklist.size(), 3u);
}

TEST(BlacklistTest, ThresholdOfOneBlacklistsAtOnce) {
  Blacklist blacklist({1, 3});
  EXPECT_TRUE(blacklist.RecordInvalid(Key(1)).became_blacklisted);
}

TEST(BlacklistTest, ExactlyOneOfManyThreadsSeesTheKeyBecomeBlacklisted) {
  Blacklist blacklist({});
  std::atomic<int> became{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 1'000; ++j) {
        if (blacklist.RecordInvalid(Key(1)).became_blacklisted) ++became;
        blacklist.RecordInvalid(Key(static_cast<uint32_t>(j) + 2));
        blacklist.RecordValid(Key(static_cast<uint32_t>(j) + 2));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(became.load(), 1);
}

TEST(BlacklistTest, OptionsOutOfRangeAreRefused) {
  EXPECT_THAT(Blacklist::Options().Validate(), IsOk());
  EXPECT_THAT((Blacklist::Options{0, 1}.Validate()),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("threshold is 0")));
  EXPECT_THAT((Blacklist::Options{1, 0}.Validate()),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("max_entries")));
}

}  // namespace
}  // namespace om
