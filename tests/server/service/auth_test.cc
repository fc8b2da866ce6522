// Identities, tokens and certificates through the service layer.
#include <sys/stat.h>

#include <set>

#include "absl/strings/match.h"
#include "server/base/file.h"
#include "server/service/auth_api.h"
#include "server/service/pki_api.h"
#include "tests/server/service/service_fixture.h"

namespace om {
namespace {

namespace pb = control::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

class AuthFixture : public ServiceFixture {
 public:
  AuthFixture() {
    TokenAuthority::Options options;
    options.dir = dir.path();
    options.cluster_id = [] { return "5b3c3e6e-0000-11ee-9c4c-0242ac120002"; };
    tokens = std::make_unique<TokenAuthority>(
        std::move(options), TokenAuthority::Ports{&workers, &clock, &random_bytes, &counters});
    auth = std::make_unique<AuthApi>(
        &context, tokens.get(), [](const std::string& name) -> absl::StatusOr<UserFacts> {
          if (name == "alice") {
            return UserFacts{name, "id-of-alice", name,
                             Grants::Parse("operator:ns1 guest:ns2 blacklistadmin").value()};
          }
          if (name == "bob") return UserFacts{name, "", name, Grants::Parse("guest:*").value()};
          return MakeError("USER_UNKNOWN", "there is no such user");
        });
    pki = std::make_unique<PkiApi>(&context, &random_bytes, [this] { return addresses; });
    Start();
  }

  static Caller User(const std::string& name, const std::string& credential = "certificate 3f09") {
    Caller caller;
    caller.kind = Caller::Kind::kUser;
    caller.name = name;
    caller.address = "10.0.0.7";
    caller.grants = Grants::Parse("operator:ns1").value();
    caller.credential = credential;
    return caller;
  }

  absl::StatusOr<pb::CreateTokenResponse> CreateToken(const Caller& caller, const std::string& user,
                                                      const std::string& grants = "",
                                                      int64_t lifetime_seconds = 0) {
    pb::CreateTokenRequest request;
    request.set_user(user);
    request.set_grants(grants);
    if (lifetime_seconds != 0) request.mutable_lifetime()->set_seconds(lifetime_seconds);
    return Await<pb::CreateTokenResponse>([&](Reply<pb::CreateTokenResponse> reply) {
      auth->CreateToken(caller, request, std::move(reply));
    });
  }
  absl::StatusOr<pb::RevokeTokensResponse> RevokeTokens(const Caller& caller,
                                                        const std::string& user) {
    pb::RevokeTokensRequest request;
    request.set_user(user);
    return Await<pb::RevokeTokensResponse>([&](Reply<pb::RevokeTokensResponse> reply) {
      auth->RevokeTokens(caller, request, std::move(reply));
    });
  }
  template <class Request, class Response>
  absl::StatusOr<Response> Pki(void (PkiApi::*method)(const Caller&, const Request&,
                                                      Reply<Response>),
                               const Request& request, const Caller& caller = Root()) {
    return Await<Response>(
        [&](Reply<Response> reply) { (pki.get()->*method)(caller, request, std::move(reply)); });
  }
  absl::StatusOr<pb::InitAuthorityResponse> Init() {
    return Pki(&PkiApi::InitAuthority, pb::InitAuthorityRequest());
  }
  absl::StatusOr<pb::IssueCertificateResponse> Issue(pb::CertificateKind kind,
                                                     const std::string& name) {
    pb::IssueCertificateRequest request;
    request.set_kind(kind);
    request.set_name(name);
    return Pki(&PkiApi::IssueCertificate, request);
  }
  std::string PkiFile(const std::string& name) const { return roots.OmdDir() + "/pki/" + name; }

  SystemRandom random_bytes;
  std::vector<std::string> addresses = {"localhost", "127.0.0.1", "node1", "localhost"};
  std::unique_ptr<TokenAuthority> tokens;
  std::unique_ptr<AuthApi> auth;
  std::unique_ptr<PkiApi> pki;
};

class AuthApiTest : public ::testing::Test, public AuthFixture {};
class PkiApiTest : public ::testing::Test, public AuthFixture {};

TEST_F(AuthApiTest, EveryoneIsToldWhomHeIsTakenFor) {
  OM_ASSERT_OK_AND_ASSIGN(pb::WhoAmIResponse who, auth->WhoAmI(Root(), {}));
  EXPECT_EQ(who.kind(), "root");
  EXPECT_EQ(who.grants(), "root");
  EXPECT_EQ(who.node(), "node1");
  OM_ASSERT_OK_AND_ASSIGN(who, auth->WhoAmI(Guest(), {}));
  EXPECT_EQ(who.kind(), "guest");
  EXPECT_EQ(who.grants(), "");
  Caller alice = User("alice");
  alice.expire_time = absl::FromUnixSeconds(1'800'000'000);
  OM_ASSERT_OK_AND_ASSIGN(who, auth->WhoAmI(alice, {}));
  EXPECT_EQ(who.kind(), "user");
  EXPECT_EQ(who.name(), "alice");
  EXPECT_EQ(who.grants(), "operator:ns1");
  EXPECT_EQ(who.credential(), "certificate 3f09");
  EXPECT_EQ(who.address(), "10.0.0.7");
  EXPECT_EQ(who.expire_time().seconds(), 1'800'000'000);
}

TEST_F(AuthApiTest, RootMakesTokensForEveryUserThereIs) {
  OM_ASSERT_OK_AND_ASSIGN(const pb::CreateTokenResponse made, CreateToken(Root(), "alice"));
  OM_ASSERT_OK_AND_ASSIGN(const TokenClaims claims, tokens->Verify(made.token()));
  EXPECT_EQ(claims.subject, "alice");
  EXPECT_EQ(claims.user_id, "id-of-alice");
  EXPECT_EQ(claims.id, made.id());
  EXPECT_EQ(claims.grants, "") << "whatever the user holds when it is used";
  EXPECT_EQ(claims.expire_time - claims.issue_time, absl::Hours(1));
  const auto unknown = CreateToken(Root(), "nobody");
  EXPECT_THAT(unknown, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(ReasonOf(unknown.status()), "USER_UNKNOWN");
  EXPECT_THAT(CreateToken(Root(), ""), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(CreateToken(Root(), "../x"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(AuthApiTest, TokensOfAUserWhoIsGoneCanBeRevoked) {
  EXPECT_THAT(RevokeTokens(Root(), "nobody"), IsOk());
  EXPECT_THAT(RevokeTokens(Root(), "../x"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(AuthApiTest, AUserMakesTokensForHimselfAndNotWithAToken) {
  OM_ASSERT_OK_AND_ASSIGN(const pb::CreateTokenResponse made, CreateToken(User("alice"), ""));
  EXPECT_EQ(made.user(), "alice");
  EXPECT_THAT(CreateToken(User("alice"), "alice"), IsOk());
  EXPECT_THAT(CreateToken(User("alice"), "bob"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(CreateToken(User("alice"), "nobody"), StatusIs(absl::StatusCode::kPermissionDenied))
      << "who else there is, is not told";
  EXPECT_THAT(CreateToken(User("alice", "token 51c2"), "alice"),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(CreateToken(Guest(), "alice"), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(AuthApiTest, ATokenGivesAtMostWhatItsUserHolds) {
  OM_ASSERT_OK_AND_ASSIGN(const pb::CreateTokenResponse made,
                          CreateToken(Root(), "alice", "guest:ns1"));
  OM_ASSERT_OK_AND_ASSIGN(const TokenClaims claims, tokens->Verify(made.token()));
  EXPECT_EQ(claims.grants, "guest:ns1");
  for (const char* grants :
       {"admin:ns1", "operator:ns2", "root", "operator:*", "nonsense", "a:b:c", "  "}) {
    const auto refused = CreateToken(Root(), "alice", grants);
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInvalidArgument)) << grants;
    EXPECT_EQ(FieldOf(refused.status()), "grants") << grants;
  }
}

TEST_F(AuthApiTest, LifetimesOutOfRangeAreRefused) {
  for (const int64_t seconds :
       {int64_t{-1}, int64_t{59}, int64_t{366} * 86'400 + 1, std::numeric_limits<int64_t>::max()}) {
    const auto refused = CreateToken(Root(), "alice", "", seconds);
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInvalidArgument)) << seconds;
    EXPECT_EQ(FieldOf(refused.status()), "lifetime");
  }
  EXPECT_THAT(CreateToken(Root(), "alice", "", 60), IsOk());
  EXPECT_THAT(CreateToken(Root(), "alice", "", int64_t{366} * 86'400), IsOk());
}

TEST_F(AuthApiTest, TokensAreRevokedByRootAndByTheirUser) {
  OM_ASSERT_OK_AND_ASSIGN(pb::CreateTokenResponse made, CreateToken(Root(), "alice"));
  EXPECT_THAT(RevokeTokens(User("bob"), "alice"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(tokens->Verify(made.token()), IsOk());
  EXPECT_THAT(RevokeTokens(User("alice", "token 51c2"), ""), IsOk());
  EXPECT_THAT(tokens->Verify(made.token()), StatusIs(absl::StatusCode::kUnauthenticated));
  OM_ASSERT_OK_AND_ASSIGN(made, CreateToken(Root(), "alice"));
  EXPECT_THAT(tokens->Verify(made.token()), IsOk());
  EXPECT_THAT(RevokeTokens(Root(), "alice"), IsOk());
  EXPECT_THAT(tokens->Verify(made.token()), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(AuthApiTest, ARepeatedRotationIsDoneOnce) {
  pb::RotateTokenKeysRequest request;
  request.set_keep_count(3);
  request.set_request_id("7d0f");
  std::set<std::string> answers;
  for (int i = 0; i < 2; ++i) {
    const auto answer =
        Await<pb::RotateTokenKeysResponse>([&](Reply<pb::RotateTokenKeysResponse> reply) {
          auth->RotateTokenKeys(Root(), request, std::move(reply));
        });
    OM_ASSERT_OK_AND_ASSIGN(const pb::RotateTokenKeysResponse response, answer);
    EXPECT_THAT(response.key_ids(), SizeIs(1));
    answers.insert(response.SerializeAsString());
  }
  EXPECT_THAT(answers, SizeIs(1));
  for (const int keep : {-1, 4}) {
    request.set_keep_count(keep);
    EXPECT_THAT(Await<pb::RotateTokenKeysResponse>([&](Reply<pb::RotateTokenKeysResponse> reply) {
                  auth->RotateTokenKeys(Root(), request, std::move(reply));
                }),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_F(PkiApiTest, WithoutAuthorityOneIsToldSo) {
  for (const absl::Status& status :
       {Issue(pb::CERTIFICATE_KIND_USER, "alice").status(),
        Pki(&PkiApi::ListCertificates, pb::ListCertificatesRequest()).status(),
        Pki(&PkiApi::GetAuthority, pb::GetAuthorityRequest()).status()}) {
    EXPECT_EQ(ReasonOf(status), "AUTHORITY_MISSING") << status;
  }
  EXPECT_THAT(pki->RenewCrlIfDue(), IsOk());
}

TEST_F(PkiApiTest, InitMakesTheAuthorityAndThisNodesPairOnce) {
  OM_ASSERT_OK_AND_ASSIGN(const pb::InitAuthorityResponse made, Init());
  EXPECT_THAT(made.certificate_pem(), StartsWith("-----BEGIN CERTIFICATE"));
  EXPECT_EQ(made.node_certificate().name(), "node1");
  EXPECT_EQ(made.node_certificate().kind(), pb::CERTIFICATE_KIND_NODE);
  for (const char* name : {"node.key", "node.crt", "ca.key"}) {
    struct stat info = {};
    ASSERT_EQ(stat(PkiFile(name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_mode & 07777u, 0600u) << name;
  }
  OM_ASSERT_OK_AND_ASSIGN(const FileContent certificate, ReadFile(PkiFile("node.crt"), 1 << 16));
  OM_ASSERT_OK_AND_ASSIGN(const CertificateIdentity identity, IdentityOfPem(certificate.text));
  EXPECT_EQ(identity.serial, made.node_certificate().serial());
  EXPECT_THAT(Init(), StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(PkiApiTest, AnInitThatWasCutOffIsTakenToItsEnd) {
  ASSERT_THAT(Init(), IsOk());
  OM_ASSERT_OK_AND_ASSIGN(const FileContent before, ReadFile(PkiFile("ca.crt"), 1 << 16));
  ASSERT_THAT(RemoveFile(PkiFile("node.crt")), IsOk());
  OM_ASSERT_OK_AND_ASSIGN(const pb::InitAuthorityResponse again, Init());
  EXPECT_EQ(again.certificate_pem(), before.text) << "the same authority";
  EXPECT_THAT(ModificationTime(PkiFile("node.crt")), IsOk());
}

TEST_F(PkiApiTest, WrongRequestsAreRefusedBeforeAnythingIsMade) {
  pb::InitAuthorityRequest request;
  request.mutable_lifetime()->set_seconds(3600);
  EXPECT_THAT(Pki(&PkiApi::InitAuthority, request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.clear_lifetime();
  request.add_addresses("no address");
  EXPECT_THAT(Pki(&PkiApi::InitAuthority, request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.clear_addresses();
  for (int i = 0; i < 17; ++i) request.add_addresses("10.0.0.1");
  EXPECT_THAT(Pki(&PkiApi::InitAuthority, request), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_FALSE(ModificationTime(PkiFile("ca.crt")).ok());
}

TEST_F(PkiApiTest, WhatIsIssuedIsListedInPagesAndByItsEnd) {
  ASSERT_THAT(Init(), IsOk());
  OM_ASSERT_OK_AND_ASSIGN(const pb::IssueCertificateResponse issued,
                          Issue(pb::CERTIFICATE_KIND_USER, "alice"));
  EXPECT_THAT(issued.key_pem(), HasSubstr("PRIVATE KEY"));
  EXPECT_THAT(issued.authority_pem(), StartsWith("-----BEGIN CERTIFICATE"));
  EXPECT_EQ(issued.certificate().name(), "alice");
  pb::ListCertificatesRequest request;
  request.set_page_size(1);
  std::vector<std::string> names;
  do {
    OM_ASSERT_OK_AND_ASSIGN(const pb::ListCertificatesResponse page,
                            Pki(&PkiApi::ListCertificates, request));
    for (const pb::Certificate& certificate : page.certificates()) {
      names.push_back(certificate.name());
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(names, ElementsAre("node1", "alice"));
  request.mutable_expiring_within()->set_seconds(86'400);
  OM_ASSERT_OK_AND_ASSIGN(pb::ListCertificatesResponse soon,
                          Pki(&PkiApi::ListCertificates, request));
  EXPECT_THAT(soon.certificates(), SizeIs(0));
  request.set_page_token("x");
  EXPECT_THAT(Pki(&PkiApi::ListCertificates, request),
              StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_page_token("");
  request.set_page_size(-1);
  EXPECT_THAT(Pki(&PkiApi::ListCertificates, request),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(PkiApiTest, RevokingTwiceIsNoErrorAndUnknownSerialsAre) {
  ASSERT_THAT(Init(), IsOk());
  OM_ASSERT_OK_AND_ASSIGN(const pb::IssueCertificateResponse issued,
                          Issue(pb::CERTIFICATE_KIND_USER, "alice"));
  pb::RevokeCertificateRequest request;
  request.set_serial(issued.certificate().serial());
  request.set_reason(pb::REVOCATION_REASON_KEY_COMPROMISE);
  for (int i = 0; i < 2; ++i) {
    OM_ASSERT_OK_AND_ASSIGN(const pb::RevokeCertificateResponse revoked,
                            Pki(&PkiApi::RevokeCertificate, request));
    EXPECT_TRUE(revoked.certificate().has_revoke_time());
    EXPECT_EQ(revoked.certificate().revocation_reason(), pb::REVOCATION_REASON_KEY_COMPROMISE);
  }
  pb::RenewCertificateRequest renew;
  renew.set_serial(issued.certificate().serial());
  EXPECT_THAT(Pki(&PkiApi::RenewCertificate, renew),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  request.set_serial("00ff");
  const auto unknown = Pki(&PkiApi::RevokeCertificate, request);
  EXPECT_EQ(ReasonOf(unknown.status()), "CERTIFICATE_UNKNOWN");
  request.set_serial("");
  EXPECT_THAT(Pki(&PkiApi::RevokeCertificate, request),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(PkiApiTest, RenewingThisNodesOwnPutsItInPlaceAndTellsNoKey) {
  OM_ASSERT_OK_AND_ASSIGN(const pb::InitAuthorityResponse made, Init());
  OM_ASSERT_OK_AND_ASSIGN(const FileContent old_key, ReadFile(PkiFile("node.key"), 1 << 16));
  pb::RenewCertificateRequest request;
  request.set_serial(made.node_certificate().serial());
  request.set_keep_key(true);
  OM_ASSERT_OK_AND_ASSIGN(pb::RenewCertificateResponse renewed,
                          Pki(&PkiApi::RenewCertificate, request));
  OM_ASSERT_OK_AND_ASSIGN(FileContent key, ReadFile(PkiFile("node.key"), 1 << 16));
  EXPECT_EQ(key.text, old_key.text);
  request.set_serial(renewed.certificate().serial());
  request.set_keep_key(false);
  OM_ASSERT_OK_AND_ASSIGN(renewed, Pki(&PkiApi::RenewCertificate, request));
  EXPECT_TRUE(renewed.in_use());
  EXPECT_EQ(renewed.key_pem(), "");
  OM_ASSERT_OK_AND_ASSIGN(key, ReadFile(PkiFile("node.key"), 1 << 16));
  EXPECT_NE(key.text, old_key.text);
  OM_ASSERT_OK_AND_ASSIGN(const FileContent certificate, ReadFile(PkiFile("node.crt"), 1 << 16));
  EXPECT_EQ(certificate.text, renewed.certificate_pem());
  OM_ASSERT_OK_AND_ASSIGN(const pb::IssueCertificateResponse other,
                          Issue(pb::CERTIFICATE_KIND_NODE, "node2"));
  request.set_serial(other.certificate().serial());
  OM_ASSERT_OK_AND_ASSIGN(renewed, Pki(&PkiApi::RenewCertificate, request));
  EXPECT_FALSE(renewed.in_use());
  EXPECT_THAT(renewed.key_pem(), HasSubstr("PRIVATE KEY"));
}

TEST_F(PkiApiTest, TheRevocationListIsMadeAgainAtHalfItsTime) {
  ASSERT_THAT(Init(), IsOk());
  OM_ASSERT_OK_AND_ASSIGN(const FileContent first, ReadFile(PkiFile("crl.pem"), 1 << 16));
  clock.Advance(std::chrono::hours(24 * 14));
  ASSERT_THAT(pki->RenewCrlIfDue(), IsOk());
  OM_ASSERT_OK_AND_ASSIGN(FileContent list, ReadFile(PkiFile("crl.pem"), 1 << 16));
  EXPECT_EQ(list.text, first.text);
  clock.Advance(std::chrono::hours(24 * 2));
  ASSERT_THAT(pki->RenewCrlIfDue(), IsOk());
  OM_ASSERT_OK_AND_ASSIGN(list, ReadFile(PkiFile("crl.pem"), 1 << 16));
  EXPECT_NE(list.text, first.text);
}

TEST_F(PkiApiTest, OnlyRootManagesCertificatesAndEveryoneSeesTheAuthority) {
  ASSERT_THAT(Init(), IsOk());
  EXPECT_THAT(Pki(&PkiApi::GetAuthority, pb::GetAuthorityRequest(), Guest()), IsOk());
  for (const Caller& caller : {Guest(), User("alice")}) {
    EXPECT_THAT(Pki(&PkiApi::InitAuthority, pb::InitAuthorityRequest(), caller),
                StatusIs(absl::StatusCode::kPermissionDenied));
    EXPECT_THAT(Pki(&PkiApi::IssueCertificate, pb::IssueCertificateRequest(), caller),
                StatusIs(absl::StatusCode::kPermissionDenied));
    EXPECT_THAT(Pki(&PkiApi::ListCertificates, pb::ListCertificatesRequest(), caller),
                StatusIs(absl::StatusCode::kPermissionDenied));
    EXPECT_THAT(Pki(&PkiApi::RevokeCertificate, pb::RevokeCertificateRequest(), caller),
                StatusIs(absl::StatusCode::kPermissionDenied));
    EXPECT_THAT(Pki(&PkiApi::RenewCertificate, pb::RenewCertificateRequest(), caller),
                StatusIs(absl::StatusCode::kPermissionDenied));
  }
}

}  // namespace
}  // namespace om
