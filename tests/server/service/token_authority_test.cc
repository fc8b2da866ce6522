#include "server/service/token_authority.h"

#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"
#include "tests/support/fake_random.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class TokenAuthorityTest : public ::testing::Test {
 protected:
  std::unique_ptr<TokenAuthority> Made() {
    TokenAuthority::Options options;
    options.dir = dir_.path();
    options.cluster_id = [this] { return cluster_id_; };
    auto made = std::make_unique<TokenAuthority>(
        std::move(options), TokenAuthority::Ports{&workers_, &clock_, &random_, &counters_});
    made->Load();
    return made;
  }
  std::string TokenOf(TokenAuthority* tokens, const std::string& user) {
    const absl::StatusOr<TokenAuthority::Made> made =
        tokens->Make(user, "", absl::Hours(1), "operator:*");
    EXPECT_THAT(made, IsOk());
    return made.ok() ? made->token : "";
  }
  // Lets the files be looked at again.
  void LookAgain(TokenAuthority* tokens) {
    clock_.Advance(std::chrono::seconds(2));
    (void)tokens->Verify("x.y.z");
  }
  std::string KeyFile() const { return absl::StrCat(dir_.path(), "/tokens.key"); }
  std::string RevocationFile() const {
    return absl::StrCat(dir_.path(), "/token_revocations.json");
  }

  TempDir dir_;
  FakeClock clock_;
  SystemRandom random_;
  Counters counters_;
  InlineExecutor workers_;
  std::string cluster_id_ = "5b3c3e6e-0000-11ee-9c4c-0242ac120002";
};

TEST_F(TokenAuthorityTest, TheFirstTokenMakesTheKeyAndIsGoodForItsUser) {
  const auto tokens = Made();
  EXPECT_THAT(tokens->Verify("a.b.c"), StatusIs(absl::StatusCode::kUnauthenticated));
  OM_ASSERT_OK_AND_ASSIGN(const TokenAuthority::Made made,
                          tokens->Make("alice", "id-7", absl::Hours(1), "operator:ns1"));
  OM_ASSERT_OK_AND_ASSIGN(const TokenClaims claims, tokens->Verify(made.token));
  EXPECT_EQ(claims.subject, "alice");
  EXPECT_EQ(claims.user_id, "id-7");
  EXPECT_EQ(claims.audience, absl::StrCat("om:", cluster_id_));
  EXPECT_EQ(claims.grants, "operator:ns1");
  EXPECT_EQ(claims.id, made.claims.id);
  struct stat info = {};
  ASSERT_EQ(stat(KeyFile().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777u, 0600u);
  EXPECT_EQ(counters_.Values()["tokens.made"], 1);
}

TEST_F(TokenAuthorityTest, ATokenSurvivesARestartAndNotItsTime) {
  const std::string token = TokenOf(Made().get(), "alice");
  const auto again = Made();
  EXPECT_THAT(again->Verify(token), IsOk());
  clock_.Advance(std::chrono::hours(2));
  EXPECT_THAT(again->Verify(token), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(TokenAuthorityTest, RevocationIsOfOneUserAndOfWhatWasMadeBefore) {
  auto tokens = Made();
  const std::string old = TokenOf(tokens.get(), "alice");
  const std::string other = TokenOf(tokens.get(), "bob");
  OM_ASSERT_OK_AND_ASSIGN(const absl::Time valid_from, tokens->Revoke("alice"));
  EXPECT_GE(valid_from, clock_.Now());
  // Made within the same second.
  const std::string fresh = TokenOf(tokens.get(), "alice");
  for (int restarts = 0; restarts < 2; ++restarts) {
    EXPECT_THAT(tokens->Verify(old),
                StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("revoked")));
    EXPECT_THAT(tokens->Verify(other), IsOk());
    EXPECT_THAT(tokens->Verify(fresh), IsOk());
    tokens = Made();
  }
  ASSERT_THAT(tokens->Revoke("alice"), IsOk());
  EXPECT_THAT(tokens->Verify(fresh), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(tokens->Verify(TokenOf(tokens.get(), "alice")), IsOk());
}

TEST_F(TokenAuthorityTest, ARotationKeepsAsManyKeysAsItIsTold) {
  const auto tokens = Made();
  const std::string first = TokenOf(tokens.get(), "alice");
  OM_ASSERT_OK_AND_ASSIGN(std::vector<std::string> ids, tokens->Rotate(1));
  EXPECT_THAT(ids, SizeIs(2));
  EXPECT_THAT(tokens->Verify(first), IsOk());
  OM_ASSERT_OK_AND_ASSIGN(ids, tokens->Rotate(0));
  EXPECT_THAT(ids, SizeIs(1));
  EXPECT_THAT(tokens->Verify(first), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(TokenAuthorityTest, KeysThatAnotherHandChangedAreNoticed) {
  const auto tokens = Made();
  const std::string token = TokenOf(tokens.get(), "alice");
  OM_ASSERT_OK_AND_ASSIGN(TokenKeys unused, TokenKeys::Rotate(KeyFile(), 0, &random_));
  (void)unused;
  EXPECT_THAT(tokens->Verify(token), IsOk()) << "looked at once a second only";
  LookAgain(tokens.get());
  EXPECT_THAT(tokens->Verify(token), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(TokenAuthorityTest, KeysThatOthersMayReadLetNobodyInUntilTheyAreRotated) {
  const auto tokens = Made();
  const std::string token = TokenOf(tokens.get(), "alice");
  ASSERT_EQ(chmod(KeyFile().c_str(), 0644), 0);
  LookAgain(tokens.get());
  EXPECT_THAT(tokens->Verify(token),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("0644")));
  EXPECT_THAT(tokens->Make("alice", "id-7", absl::Hours(1), ""),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_THAT(tokens->Rotate(0), IsOk());
  EXPECT_THAT(tokens->Verify(TokenOf(tokens.get(), "alice")), IsOk());
}

TEST_F(TokenAuthorityTest, ADamagedListOfRevocationsLetsNobodyIn) {
  const auto tokens = Made();
  const std::string token = TokenOf(tokens.get(), "alice");
  for (const char* text : {"", "[]", "{\"users\": 1}", "{\"users\": {\"alice\": \"now\"}}"}) {
    ASSERT_THAT(WriteFileAtomically(RevocationFile(), text, {}), IsOk());
    LookAgain(tokens.get());
    EXPECT_THAT(tokens->Verify(token), StatusIs(absl::StatusCode::kUnauthenticated)) << text;
    EXPECT_FALSE(tokens->Revoke("bob").ok()) << text;
  }
  ASSERT_THAT(RemoveFile(RevocationFile()), IsOk());
  LookAgain(tokens.get());
  EXPECT_THAT(tokens->Verify(token), IsOk());
}

TEST_F(TokenAuthorityTest, ATokenOfAnotherClusterIsRefused) {
  const auto tokens = Made();
  const std::string token = TokenOf(tokens.get(), "alice");
  cluster_id_ = "another";
  EXPECT_THAT(tokens->Verify(token), StatusIs(absl::StatusCode::kUnauthenticated));
  cluster_id_ = "";
  EXPECT_THAT(tokens->Verify(token), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(tokens->Make("alice", "id-7", absl::Hours(1), ""),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("cluster.id")));
}

TEST_F(TokenAuthorityTest, RevocationsAreBoundedAndGoWhenNothingIsLeftToRevoke) {
  Json::object_t users;
  for (size_t i = 0; i < TokenAuthority::kMaxRevocations; ++i) {
    users.emplace_back(absl::StrCat("user", i), absl::ToUnixSeconds(clock_.Now()));
  }
  ASSERT_THAT(WriteFileAtomically(RevocationFile(), DumpJson({{"users", users}}), {}), IsOk());
  const auto tokens = Made();
  EXPECT_THAT(tokens->Revoke("alice"), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(tokens->Revoke("user7"), IsOk()) << "one that is there already";
  clock_.Advance(std::chrono::hours(24 * 367));
  EXPECT_THAT(tokens->Revoke("alice"), IsOk());
  OM_ASSERT_OK_AND_ASSIGN(const FileContent left, ReadFile(RevocationFile(), 1 << 20));
  EXPECT_LT(left.text.size(), 100u);
}

}  // namespace
}  // namespace om
