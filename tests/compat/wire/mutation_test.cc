// Damaged packets. CBC without a MAC cannot promise that a damaged packet is refused (see
// crypto.h); what holds is that it never crashes the reader, and that if it opens, it opens to the
// same text and has the same digest, so that it is seen to be a replay.
#include <optional>
#include <string>

#include "compat/wire/crypto.h"
#include "compat/wire/envelope.h"
#include "compat/wire/frame.h"
#include "compat/wire/request.h"
#include "server/base/random.h"
#include "tests/support/fake_random.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

constexpr char kText[] =
    R"({"action": "set_service_monitor", "options": {"svcpath": "svc1", "global_expect": "started"}})";

Key TestKey() { return *Key::FromSecret("0123456789abcdef0123456789abcdef"); }

std::string ValidPacket() {
  FakeSecureRandom random;
  return Seal(TestKey(), &random, "demo", "node1", kText);
}

std::optional<OpenedPacket> Receive(absl::string_view bytes) {
  RequestReader reader;
  reader.Feed(bytes);
  if (reader.Finish() != RequestReader::State::kComplete) return std::nullopt;
  const absl::StatusOr<Envelope> envelope = ParseEnvelope(reader.TakeText());
  if (!envelope.ok()) return std::nullopt;
  absl::StatusOr<OpenedPacket> opened = OpenPacket(TestKey(), *envelope);
  if (!opened.ok()) return std::nullopt;
  ParseRequest(opened->text);
  return *std::move(opened);
}

class MutationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::optional<OpenedPacket> original = Receive(packet_);
    ASSERT_TRUE(original.has_value());
    ASSERT_EQ(original->text, kText);
    digest_ = original->digest;
  }

  // Whether it opened.
  bool ExpectRefusedOrUnchanged(absl::string_view bytes) {
    const std::optional<OpenedPacket> opened = Receive(bytes);
    if (!opened.has_value()) return false;
    EXPECT_EQ(opened->text, kText);
    EXPECT_EQ(opened->digest, digest_);
    return true;
  }

  const std::string packet_ = ValidPacket();
  PacketDigest digest_{};
};

TEST_F(MutationTest, NoPrefixOpensButTheWholeWithoutItsNul) {
  for (size_t size = 0; size + 1 < packet_.size(); ++size) {
    EXPECT_FALSE(Receive(absl::string_view(packet_).substr(0, size)).has_value()) << size;
  }
  EXPECT_TRUE(Receive(absl::string_view(packet_).substr(0, packet_.size() - 1)).has_value());
}

TEST_F(MutationTest, EveryFlippedBitIsRefusedOrChangesNothing) {
  int opened = 0;
  for (size_t bit = 0; bit < 8 * packet_.size(); ++bit) {
    SCOPED_TRACE(bit);
    std::string flipped = packet_;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    if (ExpectRefusedOrUnchanged(flipped)) ++opened;
  }
  EXPECT_GT(opened, 0);  // The names are not protected.
}

TEST_F(MutationTest, EveryPairOfFlippedBitsOfTheFirstIvBytesIsRefusedOrChangesNothing) {
  const size_t iv = packet_.find("\"iv\": \"") + 7;
  for (size_t first = 8 * iv; first < 8 * (iv + 6); ++first) {
    for (size_t second = first + 1; second < 8 * (iv + 6); ++second) {
      std::string flipped = packet_;
      for (const size_t bit : {first, second}) {
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      }
      ExpectRefusedOrUnchanged(flipped);
    }
  }
}

TEST_F(MutationTest, TenThousandRandomMutationsAreRefusedOrChangeNothing) {
  constexpr uint64_t kSeed = 20261122;
  Random random(kSeed);
  int opened = 0;
  for (int round = 0; round < 10'000; ++round) {
    SCOPED_TRACE(round);
    std::string mutated = packet_;
    for (uint64_t edits = 1 + random.Below(4); edits > 0 && !mutated.empty(); --edits) {
      const size_t at = random.Below(mutated.size());
      const size_t span = 1 + random.Below(8);
      switch (random.Below(5)) {
        case 0:
          mutated[at] = static_cast<char>(random.Below(256));
          break;
        case 1:
          mutated.insert(at, span, static_cast<char>(random.Below(256)));
          break;
        case 2:
          mutated.erase(at, span);
          break;
        case 3:
          mutated.insert(at, mutated.substr(random.Below(mutated.size()), span));
          break;
        default:
          mutated.resize(at);
      }
    }
    if (ExpectRefusedOrUnchanged(mutated)) ++opened;
  }
  EXPECT_GT(opened, 0);
  EXPECT_LT(opened, 5'000);
}

}  // namespace
}  // namespace om
