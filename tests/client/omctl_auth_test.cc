// Certificates and tokens on the command line, and connections over TLS.
#include <grpcpp/grpcpp.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <memory>
#include <set>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/client_security.h"
#include "client/connection.h"
#include "client/omctl/arguments.h"
#include "client/omctl/omctl.h"
#include "om/control/v1/auth.grpc.pb.h"
#include "om/control/v1/pki.grpc.pb.h"
#include "server/auth/certificate_authority.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "server/base/mutex.h"
#include "tests/support/fake_random.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using namespace om::control::v1;  // NOLINT: most names here are messages.
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// AuthService and PkiService with a real authority behind them, on the local socket and over TLS.
class IdentityDaemon {
 public:
  explicit IdentityDaemon(const std::string& root)
      : root_(root), authority_(absl::StrCat(root, "/pki"), &clock_, &random_), services_(this) {
    EXPECT_THAT(authority_.Init("demo"), IsOk());
    EXPECT_THAT(MakeDirectories(absl::StrCat(root, "/var/lsnr")), IsOk());
  }
  ~IdentityDaemon() { server_->Shutdown(); }

  void Start(bool wants_client_certificate) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(absl::StrCat("unix:", root_, "/var/lsnr/grpc.sock"),
                             grpc::InsecureServerCredentials());
    IssueRequest node;
    node.kind = om::CertificateKind::kNode;
    node.name = "n1";
    node.addresses = {"127.0.0.1"};
    OM_ASSERT_OK_AND_ASSIGN(const IssuedCertificate pair, authority_.Issue(node));
    grpc::SslServerCredentialsOptions options(
        wants_client_certificate ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                 : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
    options.pem_root_certs = AuthorityPem();
    options.pem_key_cert_pairs.push_back({pair.key_pem, pair.certificate_pem});
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &port_);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &clear_port_);
    builder.RegisterService(&services_.auth);
    builder.RegisterService(&services_.pki);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }

  std::string AuthorityPem() const {
    const absl::StatusOr<FileContent> file = ReadFile(authority_.CertificateFile(), 1 << 16);
    return file.ok() ? file->text : "";
  }
  CertificateAuthority* authority() { return &authority_; }
  std::string server() const { return absl::StrCat("127.0.0.1:", port_); }
  std::string clear_server() const { return absl::StrCat("127.0.0.1:", clear_port_); }
  // The `authorization` of the last call, "-" without one.
  std::string authorization() const {
    MutexLock lock(&mutex_);
    return authorization_;
  }
  // The last request, as text.
  std::string request() const {
    MutexLock lock(&mutex_);
    return request_;
  }

 private:
  void Note(const grpc::ServerContext& context, const google::protobuf::Message& request) {
    MutexLock lock(&mutex_);
    const auto found = context.client_metadata().find("authorization");
    authorization_ = found == context.client_metadata().end()
                         ? "-"
                         : std::string(found->second.data(), found->second.size());
    request_ = request.ShortDebugString();
  }

  class Auth final : public AuthService::Service {
   public:
    explicit Auth(IdentityDaemon* daemon) : daemon_(daemon) {}
    grpc::Status WhoAmI(grpc::ServerContext* context, const WhoAmIRequest* request,
                        WhoAmIResponse* response) override {
      daemon_->Note(*context, *request);
      response->set_kind("user");
      response->set_name("alice");
      response->set_grants("operator:ns1");
      response->set_credential("token 51c2");
      response->set_address("127.0.0.1");
      response->set_node("n1");
      response->mutable_expire_time()->set_seconds(1'700'000'000);
      return grpc::Status::OK;
    }
    grpc::Status CreateToken(grpc::ServerContext* context, const CreateTokenRequest* request,
                             CreateTokenResponse* response) override {
      daemon_->Note(*context, *request);
      response->set_token("aaa.bbb.ccc");
      response->set_id("51c2");
      response->set_user(request->user());
      return grpc::Status::OK;
    }
    grpc::Status RevokeTokens(grpc::ServerContext* context, const RevokeTokensRequest* request,
                              RevokeTokensResponse* response) override {
      daemon_->Note(*context, *request);
      response->mutable_valid_from()->set_seconds(1'700'000'000);
      return grpc::Status::OK;
    }
    grpc::Status RotateTokenKeys(grpc::ServerContext* context,
                                 const RotateTokenKeysRequest* request,
                                 RotateTokenKeysResponse* response) override {
      daemon_->Note(*context, *request);
      response->add_key_ids("new");
      response->add_key_ids("old");
      return grpc::Status::OK;
    }

   private:
    IdentityDaemon* const daemon_;  // Not owned.
  };

  class Pki final : public PkiService::Service {
   public:
    explicit Pki(IdentityDaemon* daemon) : daemon_(daemon) {}
    grpc::Status InitAuthority(grpc::ServerContext* context, const InitAuthorityRequest* request,
                               InitAuthorityResponse* response) override {
      daemon_->Note(*context, *request);
      response->mutable_node_certificate()->set_name("n1");
      response->mutable_node_certificate()->set_serial("7f");
      return grpc::Status::OK;
    }
    grpc::Status GetAuthority(grpc::ServerContext* /*context*/,
                              const GetAuthorityRequest* /*request*/,
                              GetAuthorityResponse* response) override {
      response->set_certificate_pem(daemon_->AuthorityPem());
      return grpc::Status::OK;
    }
    grpc::Status IssueCertificate(grpc::ServerContext* context,
                                  const IssueCertificateRequest* request,
                                  IssueCertificateResponse* response) override {
      daemon_->Note(*context, *request);
      *response->mutable_certificate() = Of(request->name(), request->kind(), "7f01");
      response->set_certificate_pem("the certificate");
      response->set_key_pem("the key");
      response->set_authority_pem(daemon_->AuthorityPem());
      return grpc::Status::OK;
    }
    grpc::Status ListCertificates(grpc::ServerContext* context,
                                  const ListCertificatesRequest* request,
                                  ListCertificatesResponse* response) override {
      daemon_->Note(*context, *request);
      // In pages of one.
      std::vector<Certificate> all = {
          Of("n1", CERTIFICATE_KIND_NODE, "7f00"),    Of("alice", CERTIFICATE_KIND_USER, "7f01"),
          Of("alice", CERTIFICATE_KIND_USER, "7f02"), Of("both", CERTIFICATE_KIND_USER, "7f03"),
          Of("both", CERTIFICATE_KIND_NODE, "7f04"),  Of("gone", CERTIFICATE_KIND_USER, "7f05")};
      all[5].mutable_revoke_time()->set_seconds(1'700'000'000);
      all[5].set_revocation_reason(REVOCATION_REASON_CESSATION_OF_OPERATION);
      size_t at = 0;
      if (!request->page_token().empty()) at = static_cast<size_t>(request->page_token()[0] - '0');
      *response->add_certificates() = all[at];
      if (at + 1 < all.size()) response->set_next_page_token(absl::StrCat(at + 1));
      return grpc::Status::OK;
    }
    grpc::Status RevokeCertificate(grpc::ServerContext* context,
                                   const RevokeCertificateRequest* request,
                                   RevokeCertificateResponse* response) override {
      daemon_->Note(*context, *request);
      *response->mutable_certificate() = Of("alice", CERTIFICATE_KIND_USER, request->serial());
      return grpc::Status::OK;
    }
    grpc::Status RenewCertificate(grpc::ServerContext* context,
                                  const RenewCertificateRequest* request,
                                  RenewCertificateResponse* response) override {
      daemon_->Note(*context, *request);
      *response->mutable_certificate() = Of("x", CERTIFICATE_KIND_USER, "7f09");
      response->set_in_use(request->serial() == "7f00");
      response->set_certificate_pem("the new certificate");
      if (!request->keep_key() && !response->in_use()) response->set_key_pem("the new key");
      return grpc::Status::OK;
    }

   private:
    static Certificate Of(const std::string& name, om::control::v1::CertificateKind kind,
                          const std::string& serial) {
      Certificate certificate;
      certificate.set_kind(kind);
      certificate.set_name(name);
      certificate.set_serial(serial);
      certificate.mutable_not_after()->set_seconds(4'000'000'000);
      return certificate;
    }
    IdentityDaemon* const daemon_;  // Not owned.
  };

  struct Services {
    explicit Services(IdentityDaemon* daemon) : auth(daemon), pki(daemon) {}
    Auth auth;
    Pki pki;
  };

  const std::string root_;
  SystemClock clock_;
  SystemRandom random_;
  CertificateAuthority authority_;
  Services services_;
  int port_ = 0;
  int clear_port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  mutable Mutex mutex_;
  std::string authorization_ GUARDED_BY(mutex_);
  std::string request_ GUARDED_BY(mutex_);
};

class OmctlAuthTest : public ::testing::Test {
 protected:
  OmctlAuthTest() : daemon_(root_.path()) {
    environment_.out = &out_;
    environment_.err = &err_;
    environment_.random = &random_;
  }

  int RunPlain(const std::vector<std::string>& arguments) {
    out_.str("");
    err_.str("");
    return RunOmctl(arguments, environment_);
  }
  // With as much time as a busy machine needs, for what ends by itself before.
  int RunPatiently(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--timeout", "200", "--connect-timeout", "200"});
    return RunPlain(arguments);
  }
  // On the local socket.
  int Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--root", root_.path()});
    return RunPatiently(std::move(arguments));
  }
  // No connection comes about, and `why` is told. On a busy machine the time that a connection may
  // take can be over before it is known why: then it is tried again.
  void ExpectRefused(const std::vector<std::string>& arguments, const std::string& why) {
    int code = RunPlain(arguments);
    for (int i = 0; i < 20 && absl::StrContains(Err(), "nobody answers there"); ++i) {
      code = RunPlain(arguments);
    }
    EXPECT_EQ(code, kExitNoConnection);
    EXPECT_THAT(Err(), HasSubstr(why));
  }
  // Over TLS, with the authority's certificate and the given options.
  std::vector<std::string> TlsArguments(std::vector<std::string> options) {
    const std::vector<std::string> front = {"--server", daemon_.server(), "--tls-ca",
                                            root_.Write("ca.pem", daemon_.AuthorityPem())};
    options.insert(options.begin(), front.begin(), front.end());
    options.insert(options.end(), {"auth", "whoami"});
    return options;
  }
  // Options that show a certificate of alice, made by `authority`.
  std::vector<std::string> CertificateOptions(CertificateAuthority* authority) {
    IssueRequest request;
    request.name = "alice";
    const absl::StatusOr<IssuedCertificate> issued = authority->Issue(request);
    EXPECT_THAT(issued, IsOk());
    if (!issued.ok()) return {};
    return {"--tls-cert", root_.Write("alice.pem", issued->certificate_pem), "--tls-key",
            root_.Write("alice-key.pem", issued->key_pem)};
  }
  std::string Out() const { return out_.str(); }
  std::string Err() const { return err_.str(); }
  mode_t Mode(const std::string& file) const {
    struct stat info = {};
    return stat(root_.File(file).c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
  }

  TempDir root_;
  IdentityDaemon daemon_;
  std::ostringstream out_;
  std::ostringstream err_;
  FakeSecureRandom random_;
  OmctlEnvironment environment_;
};

TEST_F(OmctlAuthTest, WhoamiTellsEverythingThatIsKnown) {
  daemon_.Start(false);
  EXPECT_EQ(Run({"auth", "whoami"}), kExitDone);
  EXPECT_EQ(Out(),
            "kind        user\n"
            "name        alice\n"
            "grants      operator:ns1\n"
            "credential  token 51c2\n"
            "ends        2023-11-14 22:13:20\n"
            "address     127.0.0.1\n"
            "node        n1\n");
  EXPECT_EQ(daemon_.authorization(), "-");
}

TEST_F(OmctlAuthTest, ATokenIsAloneOnTheOutput) {
  daemon_.Start(false);
  EXPECT_EQ(Run({"auth", "token", "--user", "alice", "--lifetime", "8h", "--grants", "guest:ns1"}),
            kExitDone);
  EXPECT_EQ(Out(), "aaa.bbb.ccc\n");
  EXPECT_THAT(Err(), HasSubstr("token 51c2 of alice"));
  EXPECT_THAT(daemon_.request(), HasSubstr("seconds: 28800"));
  EXPECT_THAT(daemon_.request(), HasSubstr("grants: \"guest:ns1\""));
  EXPECT_EQ(Run({"auth", "token", "-o", "json"}), kExitDone);
  EXPECT_THAT(Err(), IsEmpty());
  EXPECT_EQ((*ParseJson(Out()))["token"], "aaa.bbb.ccc");
  EXPECT_EQ(Run({"auth", "token", "--lifetime", "soon"}), kExitUsage);
}

TEST_F(OmctlAuthTest, TokensAreRevokedAndKeysRotatedWithARequestId) {
  daemon_.Start(false);
  EXPECT_EQ(Run({"auth", "revoke-tokens", "--user", "alice"}), kExitDone);
  EXPECT_THAT(daemon_.request(), HasSubstr("user: \"alice\" request_id: \""));
  EXPECT_THAT(Out(), HasSubstr("before 2023-11-14 22:13:20"));
  EXPECT_EQ(Run({"auth", "rotate-keys"}), kExitDone);
  EXPECT_THAT(daemon_.request(), HasSubstr("keep_count: 1 request_id: \""));
  EXPECT_EQ(Out(), "new  signs\nold  still good\n");
  EXPECT_EQ(Run({"auth", "rotate-keys", "--keep", "0"}), kExitDone);
  EXPECT_THAT(daemon_.request(), Not(HasSubstr("keep_count")));
}

TEST_F(OmctlAuthTest, IssueWritesThreeFilesAndReplacesNoneUnasked) {
  daemon_.Start(false);
  const std::string dir = root_.File("out");
  EXPECT_EQ(Run({"pki", "issue", "user", "alice", "--lifetime", "2y", "--out", dir}), kExitDone);
  EXPECT_THAT(daemon_.request(), HasSubstr("seconds: 63072000"));
  EXPECT_EQ(root_.Read("out/alice.key"), "the key");
  EXPECT_EQ(root_.Read("out/alice.crt"), "the certificate");
  EXPECT_EQ(root_.Read("out/ca.crt"), daemon_.AuthorityPem());
  EXPECT_EQ(Mode("out/alice.key"), 0600u);
  EXPECT_THAT(Out(), Not(HasSubstr("the key")));
  EXPECT_EQ(Run({"pki", "issue", "user", "alice", "--out", dir}), kExitError);
  EXPECT_THAT(Err(), HasSubstr("alice.crt is there already"));
  EXPECT_EQ(Run({"pki", "issue", "user", "alice", "--out", dir, "--force", "--json"}), kExitDone);
  EXPECT_THAT(Out(), Not(HasSubstr("the key"))) << "it is in its file";
  // The same authority's certificate is no obstacle; another's is.
  EXPECT_EQ(Run({"pki", "issue", "node", "n2", "--address", "192.0.2.2", "--out", dir}), kExitDone);
  EXPECT_THAT(daemon_.request(), HasSubstr("addresses: \"192.0.2.2\""));
  root_.Write("out/ca.crt", "another");
  EXPECT_EQ(Run({"pki", "issue", "node", "n3", "--out", dir}), kExitError);
  EXPECT_THAT(Err(), HasSubstr("of another authority"));
  EXPECT_EQ(Mode("out/n3.key"), 0u) << "nothing was made";
  EXPECT_EQ(Run({"pki", "issue", "robot", "r2"}), kExitUsage);
  EXPECT_EQ(Run({"pki", "issue", "user", "../x", "--out", dir}), kExitUsage);
}

TEST_F(OmctlAuthTest, ListShowsEveryPageWithItsState) {
  daemon_.Start(false);
  EXPECT_EQ(Run({"pki", "list"}), kExitDone);
  EXPECT_THAT(Out(), HasSubstr("node  n1     7f00    2096-10-02 07:06:40  good\n"));
  EXPECT_THAT(Out(), HasSubstr("revoked, left\n"));
  EXPECT_EQ(Run({"pki", "list", "--expiring", "30d", "--json"}), kExitDone);
  EXPECT_EQ((*ParseJson(Out()))["certificates"].size(), 6u);
  EXPECT_THAT(daemon_.request(), HasSubstr("expiring_within { seconds: 2592000 }"));
}

TEST_F(OmctlAuthTest, RevokeTakesASerialOrEverythingOfAName) {
  daemon_.Start(false);
  EXPECT_EQ(Run({"pki", "revoke", "7F01", "--reason", "key-compromise"}), kExitDone);
  EXPECT_EQ(Out(), "certificate 7f01 of user alice revoked\n");
  EXPECT_THAT(daemon_.request(), HasSubstr("REVOCATION_REASON_KEY_COMPROMISE"));
  EXPECT_EQ(Run({"pki", "revoke", "alice"}), kExitDone);
  EXPECT_EQ(Out(),
            "certificate 7f01 of user alice revoked\ncertificate 7f02 of user alice revoked\n");
  EXPECT_EQ(Run({"pki", "revoke", "both"}), kExitError);
  EXPECT_THAT(Err(), HasSubstr("both a node and a user"));
  EXPECT_EQ(Run({"pki", "revoke", "gone"}), kExitError);
  EXPECT_THAT(Err(), HasSubstr("all certificates are revoked"));
  EXPECT_EQ(Run({"pki", "revoke", "nobody"}), kExitError);
  EXPECT_EQ(Run({"pki", "revoke", "alice", "--reason", "why"}), kExitUsage);
}

TEST_F(OmctlAuthTest, RenewTakesTheLastOfANameAndWritesNothingForTheNodesOwn) {
  daemon_.Start(false);
  const std::string dir = root_.File("out");
  EXPECT_EQ(Run({"pki", "renew", "alice", "--out", dir}), kExitDone);
  EXPECT_THAT(daemon_.request(), HasSubstr("serial: \"7f02\""));
  EXPECT_EQ(root_.Read("out/alice.key"), "the new key");
  EXPECT_EQ(root_.Read("out/alice.crt"), "the new certificate");
  EXPECT_EQ(Run({"pki", "renew", "7f01", "--out", dir}), kExitError) << "the files are there";
  root_.Write("out/alice.key", "the old key");
  EXPECT_EQ(Run({"pki", "renew", "7f01", "--keep-key", "--force", "--out", dir}), kExitDone);
  EXPECT_EQ(root_.Read("out/alice.key"), "the old key");
  EXPECT_EQ(Run({"pki", "renew", "n1", "--out", dir}), kExitDone);
  EXPECT_THAT(Out(), HasSubstr("its ports use it"));
  EXPECT_EQ(Mode("out/n1.crt"), 0u);
}

TEST_F(OmctlAuthTest, TheAuthorityIsMadeAndPrinted) {
  daemon_.Start(false);
  EXPECT_EQ(Run({"pki", "init", "--lifetime", "10y", "--address", "om1.example.org"}), kExitDone);
  EXPECT_THAT(daemon_.request(), HasSubstr("addresses: \"om1.example.org\""));
  EXPECT_EQ(Run({"pki", "ca"}), kExitDone);
  EXPECT_EQ(Out(), daemon_.AuthorityPem());
}

TEST_F(OmctlAuthTest, ATokenGoesWithEveryCallAndTheCommandLineComesFirst) {
  daemon_.Start(false);
  EXPECT_EQ(Run({"--token", "from-words", "auth", "whoami"}), kExitDone);
  EXPECT_EQ(daemon_.authorization(), "Bearer from-words");
  const std::string file = root_.Write("token", "from-a-file\n");
  EXPECT_EQ(Run({"--token-file", file, "auth", "whoami"}), kExitDone);
  EXPECT_EQ(daemon_.authorization(), "Bearer from-a-file");
  setenv("OMCTL_TOKEN", "from-the-environment", 1);
  EXPECT_EQ(Run({"auth", "whoami"}), kExitDone);
  EXPECT_EQ(daemon_.authorization(), "Bearer from-the-environment");
  EXPECT_EQ(Run({"--token-file", file, "auth", "whoami"}), kExitDone);
  EXPECT_EQ(daemon_.authorization(), "Bearer from-a-file");
  unsetenv("OMCTL_TOKEN");
  setenv("OMCTL_TOKEN_FILE", file.c_str(), 1);
  EXPECT_EQ(Run({"auth", "whoami"}), kExitDone);
  EXPECT_EQ(daemon_.authorization(), "Bearer from-a-file");
  unsetenv("OMCTL_TOKEN_FILE");
  EXPECT_EQ(Run({"--token", "two words", "auth", "whoami"}), kExitUsage);
  EXPECT_THAT(Err(), Not(HasSubstr("two words"))) << "tokens are not repeated";
  EXPECT_EQ(Run({"--token", "a", "--token-file", file, "auth", "whoami"}), kExitUsage);
}

TEST_F(OmctlAuthTest, ATokenLeavesThisMachineOverTlsOnly) {
  EXPECT_EQ(RunPlain({"--server", "192.0.2.1:1216", "--token", "secret-one", "auth", "whoami"}),
            kExitUsage);
  EXPECT_THAT(Err(), HasSubstr("--tls-ca"));
  EXPECT_THAT(Err(), Not(HasSubstr("secret-one")));
  daemon_.Start(false);
  EXPECT_EQ(RunPatiently({"--server", daemon_.clear_server(), "--token", "t", "auth", "whoami"}),
            kExitDone);
  EXPECT_EQ(daemon_.authorization(), "Bearer t");
}

TEST_F(OmctlAuthTest, TlsWithACertificateAndATokenReachesTheServer) {
  daemon_.Start(true);
  std::vector<std::string> options = CertificateOptions(daemon_.authority());
  options.insert(options.end(), {"--token", "t"});
  EXPECT_EQ(RunPatiently(TlsArguments(options)), kExitDone) << Err();
  EXPECT_EQ(daemon_.authorization(), "Bearer t");
  // All of it from the environment.
  setenv("OMCTL_SERVER", daemon_.server().c_str(), 1);
  setenv("OMCTL_TLS_CA", root_.File("ca.pem").c_str(), 1);
  setenv("OMCTL_TLS_CERT", root_.File("alice.pem").c_str(), 1);
  setenv("OMCTL_TLS_KEY", root_.File("alice-key.pem").c_str(), 1);
  EXPECT_EQ(RunPatiently({"auth", "whoami"}), kExitDone) << Err();
  setenv("OMCTL_TLS_CA", "/nowhere", 1);
  EXPECT_EQ(Run({"auth", "whoami"}), kExitDone) << "TLS has no place on the local socket";
  for (const char* name : {"OMCTL_SERVER", "OMCTL_TLS_CA", "OMCTL_TLS_CERT", "OMCTL_TLS_KEY"}) {
    unsetenv(name);
  }
}

TEST_F(OmctlAuthTest, FailedHandshakesSayWhatToLookAt) {
  daemon_.Start(true);
  ExpectRefused(TlsArguments({}), "it may want a certificate");
  TempDir elsewhere;
  SystemClock clock;
  SystemRandom random;
  CertificateAuthority other(elsewhere.path() + "/pki", &clock, &random);
  ASSERT_THAT(other.Init("other"), IsOk());
  ExpectRefused(TlsArguments(CertificateOptions(&other)), "refused the certificate");
  std::vector<std::string> options = CertificateOptions(daemon_.authority());
  options.insert(options.end(), {"--tls-server-name", "n7"});
  ExpectRefused(TlsArguments(options), "not for this name");
  options.back() = "n1";
  EXPECT_EQ(RunPatiently(TlsArguments(options)), kExitDone) << Err();
  const std::string first_key = root_.Write("first-key.pem", root_.Read("alice-key.pem"));
  options = CertificateOptions(daemon_.authority());
  options.back() = first_key;
  ExpectRefused(TlsArguments(options), "is --tls-key the key of --tls-cert?");
  ExpectRefused(
      {"--server", daemon_.server(), "--tls-ca", other.CertificateFile(), "auth", "whoami"},
      "is --tls-ca the authority");
  ExpectRefused(
      {"--server", daemon_.clear_server(), "--tls-ca", root_.File("ca.pem"), "auth", "whoami"},
      "speaks no TLS");
  ExpectRefused({"--server", daemon_.server(), "auth", "whoami"}, "does it want TLS?");
}

TEST(LoadClientSecurityTest, PartsThatDoNotGoTogetherAreRefused) {
  TempDir dir;
  const std::string pem = dir.Write("x.pem", "-----BEGIN CERTIFICATE-----\n");
  const std::string other = dir.Write("x.txt", "hello");
  SecurityFiles files;
  EXPECT_THAT(LoadClientSecurity(files), IsOk());
  files.certificate = pem;
  EXPECT_THAT(LoadClientSecurity(files),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--tls-key")));
  files.key = pem;
  EXPECT_THAT(LoadClientSecurity(files),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--tls-ca")));
  files.authority = other;
  EXPECT_THAT(LoadClientSecurity(files),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("PEM")));
  files.authority = dir.File("none");
  EXPECT_THAT(LoadClientSecurity(files), StatusIs(absl::StatusCode::kNotFound));
  files.authority = pem;
  EXPECT_THAT(LoadClientSecurity(files), IsOk());
  files.token = std::string(10'000, 'x');
  EXPECT_THAT(LoadClientSecurity(files), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(EndpointSecurityTest, OtherMachinesAreReachedOverTlsOnly) {
  ClientSecurity security;
  EXPECT_THAT(TcpEndpoint("n1.example.org:1216", security),
              StatusIs(absl::StatusCode::kInvalidArgument));
  security.authority_pem = "-----BEGIN CERTIFICATE-----";
  OM_ASSERT_OK_AND_ASSIGN(Endpoint endpoint, TcpEndpoint("n1.example.org:1216", security));
  EXPECT_EQ(endpoint.target, "dns:///n1.example.org:1216");
  OM_ASSERT_OK_AND_ASSIGN(endpoint, TcpEndpoint("dns:///[2001:db8::1]:1216", security));
  EXPECT_EQ(endpoint.target, "dns:///[2001:db8::1]:1216");
  EXPECT_THAT(TcpEndpoint("2001:db8::1:1216", security),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(LifetimeArgumentTest, YearsAreFineAndThirtyOfThemAreTheMost) {
  EXPECT_EQ(*ParseLifetimeArgument("10y"), absl::Hours(24 * 3650));
  EXPECT_EQ(*ParseLifetimeArgument("90d"), absl::Hours(24 * 90));
  for (const char* text : {"", "y", "-1y", "31y", "0y", "1yy", "nany", "infy"}) {
    EXPECT_THAT(ParseLifetimeArgument(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

}  // namespace
}  // namespace om
