#include "server/cluster/embedded_transport.h"

#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_random.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::IsEmpty;

class EmbeddedTransportTest : public ::testing::Test {
 protected:
  absl::StatusOr<Ownership> Acquire() {
    absl::StatusOr<Ownership> result = absl::UnknownError("not answered");
    transport_.AcquireOwnership(path_,
                                [&](absl::StatusOr<Ownership> got) { result = std::move(got); });
    return result;
  }
  absl::Status Release(uint64_t token) {
    absl::Status result = absl::UnknownError("not answered");
    transport_.ReleaseOwnership(path_, token, [&](absl::Status got) { result = std::move(got); });
    return result;
  }
  const ObjectPath path_ = *ObjectPath::Parse("s1");
  FakeSecureRandom random_;
  EmbeddedTransport transport_{"n1", &random_};
};

TEST_F(EmbeddedTransportTest, GuaranteesEverythingAndKnowsOnlyItself) {
  const TransportCapabilities all = transport_.capabilities();
  EXPECT_TRUE(all.publish && all.peer_views && all.liveness && all.durable_orders &&
              all.ownership && all.locks && all.config_exchange);
  EXPECT_THAT(transport_.Start(nullptr), IsOk());
  EXPECT_THAT(transport_.PeerViews(), IsEmpty());
  EXPECT_TRUE(transport_.Liveness("n1"));
  EXPECT_FALSE(transport_.Liveness("n2"));
}

TEST_F(EmbeddedTransportTest, TokensGrowWithEachAcquisitionAndAnOldOneReleasesNothing) {
  OM_ASSERT_OK_AND_ASSIGN(const Ownership first, Acquire());
  OM_ASSERT_OK_AND_ASSIGN(const Ownership again, Acquire());
  EXPECT_TRUE(first.held);
  EXPECT_EQ(first.token, again.token);
  EXPECT_THAT(Release(first.token), IsOk());
  OM_ASSERT_OK_AND_ASSIGN(const Ownership second, Acquire());
  EXPECT_GT(second.token, first.token);
  EXPECT_THAT(Release(first.token), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(EmbeddedTransportTest, ALockIsHeldOnceAndGivenBackByItsId) {
  absl::StatusOr<std::string> id = std::string();
  const auto lock = [&] {
    transport_.Lock("l", std::chrono::seconds(1),
                    [&](absl::StatusOr<std::string> got) { id = got; });
    return id;
  };
  absl::Status unlocked;
  OM_ASSERT_OK_AND_ASSIGN(const std::string first, lock());
  EXPECT_THAT(lock(), StatusIs(absl::StatusCode::kUnavailable));
  transport_.Unlock("l", "another", [&](absl::Status got) { unlocked = std::move(got); });
  EXPECT_THAT(unlocked, StatusIs(absl::StatusCode::kNotFound));
  transport_.Unlock("l", first, [&](absl::Status got) { unlocked = std::move(got); });
  EXPECT_THAT(unlocked, IsOk());
  EXPECT_THAT(lock(), IsOk());
}

TEST_F(EmbeddedTransportTest, ThereIsNobodyToFetchFrom) {
  absl::StatusOr<ConfigFile> file = ConfigFile{};
  transport_.FetchConfig("n2", path_,
                         [&](absl::StatusOr<ConfigFile> got) { file = std::move(got); });
  EXPECT_THAT(file, StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace om
