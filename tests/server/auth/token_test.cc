#include "server/auth/token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/stat.h>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/base/random.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_random.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class TokenTest : public testing::Test {
 protected:
  TokenTest() : keys_(*TokenKeys::Rotate(path(), 0, &random_)) {}

  std::string path() const { return dir_.File("token.keys"); }
  TokenClaims Claims() const {
    return {"cluster1",
            "omd",
            "alice",
            "id-of-alice",
            clock_.Now(),
            clock_.Now(),
            clock_.Now() + absl::Hours(1),
            "id-1",
            "admin:ns1"};
  }
  std::string Sign(const TokenClaims& claims) const { return SignToken(keys_, claims).value(); }
  absl::StatusOr<TokenClaims> Verify(absl::string_view token) const {
    return TokenVerifier(keys_, {"cluster1", "omd", nullptr}, &clock_).Verify(token);
  }
  std::string Refusal(absl::string_view token) const {
    const absl::Status status = Verify(token).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
    return std::string(status.message());
  }

  TempDir dir_;
  SeededSecureRandom random_{7};
  FakeClock clock_;
  TokenKeys keys_;
};

TEST_F(TokenTest, AGoodTokenGivesItsClaims) {
  const absl::StatusOr<TokenClaims> claims = Verify(Sign(Claims()));
  ASSERT_TRUE(claims.ok()) << claims.status();
  EXPECT_EQ(claims->subject, "alice");
  EXPECT_EQ(claims->user_id, "id-of-alice");
  EXPECT_EQ(claims->grants, "admin:ns1");
  EXPECT_EQ(claims->id, "id-1");
  EXPECT_EQ(claims->expire_time, clock_.Now() + absl::Hours(1));
}

TEST_F(TokenTest, TimesAreKeptWithAllowanceForSkew) {
  TokenClaims claims = Claims();
  claims.not_before += absl::Minutes(10);
  const std::string token = Sign(claims);
  clock_.JumpWall(absl::Minutes(10) - kTokenClockSkew - absl::Seconds(1));
  EXPECT_THAT(Refusal(token), HasSubstr("not yet valid"));
  clock_.JumpWall(absl::Seconds(1));
  EXPECT_TRUE(Verify(token).ok());
  clock_.JumpWall(absl::Minutes(50) + 2 * kTokenClockSkew - absl::Seconds(1));
  EXPECT_TRUE(Verify(token).ok());
  clock_.JumpWall(absl::Seconds(1));
  EXPECT_THAT(Refusal(token), HasSubstr("expired"));
  clock_.JumpWall(-absl::Hours(3));
  EXPECT_FALSE(Verify(token).ok());
}

TEST_F(TokenTest, TokensForOthersAreRefused) {
  TokenClaims claims = Claims();
  claims.audience = "elsewhere";
  EXPECT_THAT(Refusal(Sign(claims)), HasSubstr("audience"));
  claims = Claims();
  claims.issuer = "cluster2";
  EXPECT_THAT(Refusal(Sign(claims)), HasSubstr("issuer"));
}

TEST_F(TokenTest, OtherAlgorithmsAreRefusedBeforeAnythingElse) {
  const std::string token = Sign(Claims());
  const std::vector<std::string> parts = absl::StrSplit(token, '.');
  for (const std::string alg :
       {"none", "None", "NONE", "HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256", ""}) {
    const std::string header = absl::WebSafeBase64Escape(
        absl::StrCat(R"({"alg":")", alg, R"(","kid":")", keys_.Ids()[0], R"("})"));
    for (const std::string& end : {std::string(), parts[2]}) {
      EXPECT_THAT(Refusal(absl::StrCat(header, ".", parts[1], ".", end)), HasSubstr("algorithm"));
    }
  }
  for (const char* const header : {"{}", R"({"alg":null})", R"({"alg":["HS256"]})"}) {
    EXPECT_THAT(
        Refusal(absl::StrCat(absl::WebSafeBase64Escape(header), ".", parts[1], ".", parts[2])),
        HasSubstr("algorithm"));
  }
}

TEST_F(TokenTest, ResignedTokensAreRefused) {
  TempDir other;
  const TokenKeys strangers = *TokenKeys::Rotate(other.File("k"), 0, &random_);
  const std::string foreign = SignToken(strangers, Claims()).value();
  EXPECT_THAT(Refusal(foreign), HasSubstr("key is not known"));
  // The same with our key's id in front: only the signature tells.
  const std::vector<std::string> ours = absl::StrSplit(Sign(Claims()), '.');
  const std::vector<std::string> theirs = absl::StrSplit(foreign, '.');
  EXPECT_THAT(Refusal(absl::StrCat(ours[0], ".", theirs[1], ".", theirs[2])),
              HasSubstr("signature"));
  EXPECT_THAT(Refusal(absl::StrCat(ours[0], ".", ours[1], ".")), HasSubstr("signature"));
}

TEST_F(TokenTest, TheFilesSecretItselfSignsNothing) {
  const std::string file = dir_.Read("token.keys");
  const size_t at = file.find("\"secret\": \"") + 11;
  std::string secret;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(file.substr(at, file.find('"', at) - at), &secret));
  const std::string token = Sign(Claims());
  const std::string text = token.substr(0, token.rfind('.'));
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned int bytes = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac, &bytes);
  EXPECT_THAT(Refusal(absl::StrCat(text, ".",
                                   absl::WebSafeBase64Escape(absl::string_view(
                                       reinterpret_cast<const char*>(mac), bytes)))),
              HasSubstr("signature"));
}

TEST_F(TokenTest, EveryPrefixAndEveryMutationIsRefusedWithoutBeingQuoted) {
  const std::string token = Sign(Claims());
  for (size_t length = 0; length < token.size(); ++length) {
    EXPECT_FALSE(Verify(token.substr(0, length)).ok());
  }
  Random random(11);
  for (int i = 0; i < 10'000; ++i) {
    std::string changed = token;
    changed[random.Below(changed.size())] ^= static_cast<char>(1 + random.Below(255));
    const absl::Status status = Verify(changed).status();
    ASSERT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
    ASSERT_THAT(std::string(status.message()), Not(HasSubstr(token.substr(60, 20))));
  }
  EXPECT_FALSE(Verify(absl::StrCat(token, "=")).ok());
  EXPECT_FALSE(Verify(std::string(kMaxTokenBytes + 1, 'a')).ok());
}

TEST_F(TokenTest, RotationAcceptsOldAndNewUntilTheOldIsForgotten) {
  const std::string first = Sign(Claims());
  keys_ = *TokenKeys::Rotate(path(), 1, &random_);
  ASSERT_EQ(keys_.Ids().size(), 2U);
  EXPECT_TRUE(Verify(first).ok());
  EXPECT_TRUE(Verify(Sign(Claims())).ok());
  keys_ = *TokenKeys::Load(path());
  EXPECT_TRUE(Verify(first).ok());
  keys_ = *TokenKeys::Rotate(path(), 1, &random_);
  EXPECT_FALSE(Verify(first).ok());
  EXPECT_FALSE(TokenKeys::Rotate(path(), TokenKeys::kMaxKeys, &random_).ok());
}

TEST_F(TokenTest, KeyFilesAreForTheirOwnerOnly) {
  struct stat info = {};
  ASSERT_EQ(stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
  ASSERT_EQ(chmod(path().c_str(), 0640), 0);
  const absl::Status status = TokenKeys::Load(path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("0640"));
}

TEST_F(TokenTest, DamagedKeyFilesAreRefusedAndNotQuotedOrReplaced) {
  const std::string good = dir_.Read("token.keys");
  for (size_t length = 0; length < good.size(); ++length) {
    dir_.Write("token.keys", good.substr(0, length));
    ASSERT_EQ(chmod(path().c_str(), 0600), 0);
    const absl::Status status = TokenKeys::Load(path()).status();
    ASSERT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << length;
    ASSERT_THAT(std::string(status.message()), Not(HasSubstr(good.substr(50, 10))));
  }
  EXPECT_FALSE(TokenKeys::Rotate(path(), 1, &random_).ok());
  EXPECT_TRUE(TokenKeys::Rotate(path(), 0, &random_).ok());
}

TEST_F(TokenTest, AUsersTokensAreRevokedByTheMomentTheyWereIssued) {
  const std::string token = Sign(Claims());
  const auto verify = [&](absl::Time from) {
    return TokenVerifier(keys_,
                         {"cluster1", "omd",
                          [from](const std::string& user) -> std::optional<absl::Time> {
                            if (user != "alice") return std::nullopt;
                            return from;
                          }},
                         &clock_)
        .Verify(token)
        .ok();
  };
  EXPECT_TRUE(verify(clock_.Now()));
  EXPECT_FALSE(verify(clock_.Now() + absl::Seconds(1)));
}

TEST_F(TokenTest, ClaimsThatNobodyWouldTakeAreNotSigned) {
  TokenClaims claims = Claims();
  claims.subject = "";
  EXPECT_FALSE(SignToken(keys_, claims).ok());
  claims = Claims();
  claims.expire_time = claims.issue_time;
  EXPECT_FALSE(SignToken(keys_, claims).ok());
  claims.expire_time = claims.issue_time + kMaxTokenLifetime + absl::Seconds(1);
  EXPECT_FALSE(SignToken(keys_, claims).ok());
  claims = Claims();
  claims.grants = "admin:a:b";
  EXPECT_FALSE(SignToken(keys_, claims).ok());
  claims.grants = std::string(kMaxTokenBytes, ' ');
  EXPECT_FALSE(SignToken(keys_, claims).ok());
}

}  // namespace
}  // namespace om
