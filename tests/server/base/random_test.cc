#include "server/base/random.h"

#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_random.h"

namespace om {
namespace {

using ::testing::MatchesRegex;

TEST(SecureRandomTest, TextSkipsBytesThatWouldFavourTheFirstCharacters) {
  // 250 is the largest multiple of 10 below 256: bytes 250 to 255 must not be folded onto 0 to 5.
  FakeSecureRandom random(std::string("\xfa\xff\x00\x09\xf9", 5));
  EXPECT_EQ(random.Text(3, "0123456789"), "099");
}

TEST(SecureRandomTest, UuidHasVersionAndVariant) {
  SystemRandom random;
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string uuid = random.Uuid();
    EXPECT_THAT(
        uuid, MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
    EXPECT_TRUE(seen.insert(uuid).second);
  }
}

TEST(RandomTest, TheSameSeedGivesTheSameSequence) {
  Random a(7);
  Random b(7);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.Below(1000), b.Below(1000));
}

}  // namespace
}  // namespace om
