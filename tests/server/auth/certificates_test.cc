// The authority, the identities that its certificates carry, and the pairs that ports are given.
// What it makes is judged by Debian's openssl as well as by our own code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "server/auth/certificate_authority.h"
#include "server/auth/certificate_identity.h"
#include "server/auth/key_pair_loader.h"
#include "server/auth/x509.h"
#include "server/base/file.h"
#include "server/base/random.h"
#include "server/base/status.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_random.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct Ran {
  int code = -1;
  std::string output;
};

Ran Openssl(const std::string& arguments) {
  Ran ran;
  FILE* const pipe = popen(absl::StrCat("openssl ", arguments, " 2>&1").c_str(), "r");
  if (pipe == nullptr) return ran;
  char buffer[4096];
  size_t got = 0;
  while ((got = fread(buffer, 1, sizeof(buffer), pipe)) > 0) ran.output.append(buffer, got);
  const int status = pclose(pipe);
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ran;
}

mode_t ModeOf(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

class CertificatesTest : public testing::Test {
 protected:
  CertificatesTest() : authority_(dir_.File("pki"), &clock_, &random_) {}
  void SetUp() override { ASSERT_TRUE(authority_.Init("cluster1").ok()); }

  IssuedCertificate Node(const std::string& name = "node1") {
    return authority_.Issue({CertificateKind::kNode, name, {"10.0.0.1", "::1", "n1.example.com"}})
        .value();
  }
  // The files of `issued`, as an operator would put them on a node.
  KeyPairPaths Install(const IssuedCertificate& issued) {
    const KeyPairPaths paths = {dir_.File("tls.crt"), dir_.File("tls.key"),
                                authority_.CertificateFile(), authority_.CrlFile()};
    EXPECT_TRUE(WriteFileAtomically(paths.certificate, issued.certificate_pem, {}).ok());
    EXPECT_TRUE(WriteFileAtomically(paths.key, issued.key_pem, {}).ok());
    return paths;
  }
  std::string Problem(const KeyPairPaths& paths) {
    const absl::StatusOr<CheckedPair> pair = LoadCheckedPair(paths, clock_.Now());
    return pair.ok() ? "none" : std::string(pair.status().message());
  }
  Ran Verify(const std::string& more) {
    return Openssl(absl::StrCat("verify -attime ", absl::ToUnixSeconds(clock_.Now()), " -CAfile ",
                                authority_.CertificateFile(), " -crl_check -CRLfile ",
                                authority_.CrlFile(), " ", more, " ", dir_.File("tls.crt")));
  }

  TempDir dir_;
  FakeClock clock_;
  SeededSecureRandom random_{3};
  CertificateAuthority authority_;
};

TEST_F(CertificatesTest, OpensslAcceptsWhatIsIssuedForWhatItIsFor) {
  Install(Node());
  EXPECT_EQ(Verify("-x509_strict -purpose sslserver").code, 0) << Verify("-x509_strict").output;
  EXPECT_EQ(Verify("-purpose sslclient -verify_hostname node1").code, 0);
  EXPECT_EQ(Verify("-verify_ip 10.0.0.1").code, 0);
  EXPECT_EQ(Verify("-verify_hostname n1.example.com").code, 0);
  EXPECT_NE(Verify("-verify_hostname node2").code, 0);
  EXPECT_NE(Verify("-verify_ip 10.0.0.2").code, 0);
  Install(authority_.Issue({CertificateKind::kUser, "alice", {}}).value());
  EXPECT_EQ(Verify("-purpose sslclient").code, 0);
  EXPECT_NE(Verify("-purpose sslserver").code, 0);
}

TEST_F(CertificatesTest, OpensslReadsTheRevocationList) {
  const IssuedCertificate issued = Node();
  Install(issued);
  ASSERT_TRUE(authority_.Revoke(issued.record.serial, RevocationReason::kKeyCompromise).ok());
  EXPECT_THAT(Verify("").output, HasSubstr("certificate revoked"));
  const Ran shown = Openssl(absl::StrCat("crl -noout -text -CAfile ", authority_.CertificateFile(),
                                         " -in ", authority_.CrlFile()));
  EXPECT_EQ(shown.code, 0);
  EXPECT_THAT(shown.output, HasSubstr("verify OK"));
  EXPECT_THAT(shown.output, HasSubstr("Key Compromise"));
  EXPECT_THAT(absl::AsciiStrToLower(shown.output), HasSubstr(issued.record.serial));
  // Again: the same date and reason, a list with a higher number, no error.
  ASSERT_TRUE(authority_.Revoke(issued.record.serial, RevocationReason::kSuperseded).ok());
  EXPECT_EQ(authority_.List()->front().reason, RevocationReason::kKeyCompromise);
  EXPECT_EQ(authority_.Revoke("77", RevocationReason::kUnspecified).code(),
            absl::StatusCode::kNotFound);
}

TEST_F(CertificatesTest, AnotherAuthoritysCertificateIsRefused) {
  CertificateAuthority other(dir_.File("other"), &clock_, &random_);
  ASSERT_TRUE(other.Init("cluster1").ok());
  const KeyPairPaths paths = Install(other.Issue({CertificateKind::kNode, "node1", {}}).value());
  EXPECT_NE(Verify("").code, 0);
  EXPECT_THAT(Problem(paths), HasSubstr("is not good under"));
  KeyPairPaths mixed = paths;
  mixed.authority = other.CertificateFile();
  EXPECT_THAT(Problem(mixed), HasSubstr("was not signed by"));
  mixed.crl = other.CrlFile();
  EXPECT_EQ(Problem(mixed), "none");
}

TEST_F(CertificatesTest, KeysAreForTheirOwnerAndThereIsOneAuthorityADirectory) {
  EXPECT_EQ(ModeOf(dir_.File("pki/ca.key")), 0600U);
  EXPECT_EQ(ModeOf(dir_.File("pki/index.json")), 0600U);
  EXPECT_EQ(ModeOf(dir_.File("pki")), 0700U);
  EXPECT_EQ(authority_.Init("again").code(), absl::StatusCode::kAlreadyExists);
  // An interrupted beginning, which has no certificate, is begun again.
  ASSERT_TRUE(RemoveFile(authority_.CertificateFile()).ok());
  EXPECT_EQ(authority_.List().status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(authority_.Init("again").ok());
  ASSERT_EQ(chmod(dir_.File("pki/ca.key").c_str(), 0644), 0);
  EXPECT_THAT(std::string(authority_.List().status().message()), HasSubstr("0644"));
}

TEST_F(CertificatesTest, BadRequestsAreRefusedByName) {
  for (const std::string& name :
       {std::string(), std::string("-a"), std::string("a b"), std::string("a,DNS:b"),
        std::string("a\nb"), std::string("../a"), std::string("a\0b", 3), std::string(64, 'a')}) {
    EXPECT_EQ(authority_.Issue({CertificateKind::kNode, name, {}}).status().code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_FALSE(authority_.Issue({CertificateKind::kNode, "n", {name}}).ok());
  }
  EXPECT_FALSE(authority_.Issue({CertificateKind::kUser, "u", {"10.0.0.1"}}).ok());
  EXPECT_FALSE(authority_.Issue({CertificateKind::kUser, "u", {}, absl::Seconds(1)}).ok());
  EXPECT_THAT(
      std::string(authority_.Issue({CertificateKind::kUser, "u", {}, absl::Hours(24 * 3655)})
                      .status()
                      .message()),
      HasSubstr("passes the authority's end"));
  EXPECT_TRUE(authority_.List()->empty());
}

TEST_F(CertificatesTest, RenewalKeepsNamesAndTheKeyOrMakesOne) {
  const IssuedCertificate first = Node();
  clock_.JumpWall(absl::Hours(24 * 300));
  ASSERT_TRUE(authority_.RenewCrl().ok());
  const IssuedCertificate same =
      authority_.Renew(first.record.serial, CertificateAuthority::RenewalKey::kSame).value();
  EXPECT_TRUE(same.key_pem.empty());
  EXPECT_EQ(same.record.name, "node1");
  EXPECT_NE(same.record.serial, first.record.serial);
  EXPECT_EQ(same.record.not_after - first.record.not_after, absl::Hours(24 * 300));
  IssuedCertificate joined = same;
  joined.key_pem = first.key_pem;
  EXPECT_EQ(Problem(Install(joined)), "none");
  EXPECT_EQ(Verify("-x509_strict -verify_ip 10.0.0.1").code, 0) << Verify("-x509_strict").output;
  const IssuedCertificate fresh =
      authority_.Renew(first.record.serial, CertificateAuthority::RenewalKey::kNew).value();
  EXPECT_EQ(Problem(Install(fresh)), "none");
  EXPECT_EQ(Verify("-x509_strict -verify_hostname node1").code, 0);
  ASSERT_TRUE(authority_.Revoke(first.record.serial, RevocationReason::kSuperseded).ok());
  EXPECT_EQ(
      authority_.Renew(first.record.serial, CertificateAuthority::RenewalKey::kNew).status().code(),
      absl::StatusCode::kFailedPrecondition);
}

TEST_F(CertificatesTest, WhatEndsSoonIsListedSoonestFirst) {
  const auto issue = [&](const std::string& name, int days) {
    return authority_.Issue({CertificateKind::kUser, name, {}, absl::Hours(24 * days)})
        ->record.serial;
  };
  issue("late", 100);
  issue("second", 20);
  issue("first", 10);
  ASSERT_TRUE(authority_.Revoke(issue("gone", 5), RevocationReason::kUnspecified).ok());
  const auto ending = authority_.ExpiringBefore(clock_.Now() + absl::Hours(24 * 30));
  ASSERT_EQ(ending->size(), 2U);
  EXPECT_EQ((*ending)[0].name, "first");
  EXPECT_EQ((*ending)[1].name, "second");
}

TEST_F(CertificatesTest, TwoAtOnceBothCount) {
  const auto work = [&](uint64_t seed) {
    SeededSecureRandom random(seed);
    CertificateAuthority again(dir_.File("pki"), &clock_, &random);
    for (int i = 0; i < 10; ++i) {
      // The lock is not given in turn: who gets none for long asks again.
      absl::Status status;
      do {
        status = again.Issue({CertificateKind::kUser, "u", {}}).status();
      } while (ReasonOf(status) == "CONFIG_LOCKED");
      EXPECT_TRUE(status.ok()) << status;
    }
  };
  std::thread one(work, 100);
  std::thread two(work, 200);
  one.join();
  two.join();
  EXPECT_EQ(authority_.List()->size(), 20U);
}

TEST_F(CertificatesTest, IdentitiesAreReadFromBothForms) {
  const IssuedCertificate issued = Node();
  const CertificateIdentity identity = IdentityOfPem(issued.certificate_pem).value();
  EXPECT_EQ(identity.kind, CertificateKind::kNode);
  EXPECT_EQ(identity.name, "node1");
  EXPECT_EQ(identity.serial, issued.record.serial);
  EXPECT_EQ(identity.fingerprint.size(), 64U);
  // The authority itself is nobody.
  EXPECT_EQ(IdentityOfPem(dir_.Read("pki/ca.crt")).status().code(),
            absl::StatusCode::kUnauthenticated);
}

TEST_F(CertificatesTest, NamesThatAreNotOneOfOursAreRefused) {
  const auto refusal = [&](const std::string& names) {
    const std::string file = dir_.File("odd.crt");
    const Ran ran = Openssl(absl::StrCat(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=alice -keyout ",
        dir_.File("odd.key"), " -out ", file, " -addext 'subjectAltName=", names, "'"));
    EXPECT_EQ(ran.code, 0) << ran.output;
    const auto identity = IdentityOfPem(dir_.Read("odd.crt"));
    return identity.ok() ? identity->name : std::string(identity.status().message());
  };
  EXPECT_EQ(refusal("URI:om:user:alice,URI:spiffe://x/y"), "alice");
  EXPECT_THAT(refusal("DNS:alice"), HasSubstr("no om: name"));
  EXPECT_THAT(refusal("URI:om:user:alice,URI:om:node:bob"), HasSubstr("more than one"));
  EXPECT_THAT(refusal("URI:om:root:alice"), HasSubstr("is not om:node"));
  EXPECT_THAT(refusal("URI:om:user:"), HasSubstr("is not om:node"));
  EXPECT_THAT(refusal("URI:om:user:a/b"), HasSubstr("is not om:node"));
}

TEST_F(CertificatesTest, MutatedCertificatesNeverCrashOrNameSomebodyTwice) {
  const IssuedCertificate issued = Node();
  const CertificatePtr parsed = ParseCertificatePem(issued.certificate_pem, "it").value();
  unsigned char* raw = nullptr;
  const int bytes = i2d_X509(parsed.get(), &raw);
  const std::string der(reinterpret_cast<char*>(raw), static_cast<size_t>(bytes));
  OPENSSL_free(raw);
  EXPECT_EQ(IdentityOfDer(der)->name, "node1");
  for (size_t length = 0; length < der.size(); ++length) {
    ASSERT_FALSE(IdentityOfDer(der.substr(0, length)).ok());
  }
  EXPECT_FALSE(IdentityOfDer(der + "x").ok());
  Random random(17);
  int refused = 0;
  for (int i = 0; i < 10'000; ++i) {
    std::string changed = der;
    for (uint64_t edits = 1 + random.Below(3); edits > 0; --edits) {
      changed[random.Below(changed.size())] ^= static_cast<char>(1 + random.Below(255));
    }
    const auto identity = IdentityOfDer(changed);
    refused += identity.ok() ? 0 : 1;
    if (identity.ok()) ASSERT_TRUE(IsCertificateName(identity->name));
  }
  EXPECT_GT(refused, 1000);
}

TEST_F(CertificatesTest, PairsAreCheckedAgainstTime) {
  const IssuedCertificate issued = Node();
  const KeyPairPaths paths = Install(issued);
  EXPECT_EQ(Problem(paths), "none");
  clock_.JumpWall(-absl::Hours(1));
  EXPECT_THAT(Problem(paths), HasSubstr("not yet valid"));
  clock_.JumpWall(absl::Hours(1) + CertificateAuthority::kCrlLifetime);
  EXPECT_THAT(Problem(paths), HasSubstr("out of date"));
  ASSERT_TRUE(authority_.RenewCrl().ok());
  EXPECT_EQ(Problem(paths), "none");
  clock_.JumpWall(absl::Hours(24 * 365));
  EXPECT_THAT(Problem(paths), HasSubstr("expired"));
}

TEST_F(CertificatesTest, MismatchedRevokedAndReadablePairsAreRefused) {
  const IssuedCertificate one = Node("node1");
  const IssuedCertificate two = Node("node2");
  IssuedCertificate mixed = one;
  mixed.key_pem = two.key_pem;
  EXPECT_THAT(Problem(Install(mixed)), HasSubstr("is not the key of"));
  ASSERT_TRUE(authority_.Revoke(one.record.serial, RevocationReason::kUnspecified).ok());
  EXPECT_THAT(Problem(Install(one)), HasSubstr("revoked"));
  const KeyPairPaths paths = Install(two);
  EXPECT_EQ(Problem(paths), "none");
  ASSERT_EQ(chmod(paths.key.c_str(), 0644), 0);
  EXPECT_THAT(Problem(paths), HasSubstr("0644"));
}

TEST_F(CertificatesTest, TruncatedFilesAreRefusedAndKeysNotQuoted) {
  const IssuedCertificate issued = Node();
  const KeyPairPaths names = {"crt", "key", "ca", "crl"};
  const KeyPairContents good = {issued.certificate_pem, issued.key_pem, dir_.Read("pki/ca.crt"),
                                dir_.Read("pki/crl.pem")};
  ASSERT_TRUE(CheckPair(good, names, clock_.Now()).ok());
  for (std::string KeyPairContents::*part :
       {&KeyPairContents::certificate_pem, &KeyPairContents::key_pem,
        &KeyPairContents::authority_pem, &KeyPairContents::crl_pem}) {
    // The last byte is a newline, which may be missing.
    for (size_t length = 1; length + 1 < (good.*part).size(); ++length) {
      KeyPairContents cut = good;
      (cut.*part).resize(length);
      const absl::Status status = CheckPair(cut, names, clock_.Now()).status();
      ASSERT_FALSE(status.ok()) << length;
      ASSERT_THAT(std::string(status.message()), Not(HasSubstr(good.key_pem.substr(60, 16))));
    }
  }
  const KeyPairPaths paths = Install(issued);
  KeyPairPaths emptied = paths;
  emptied.crl = dir_.Write("empty", "");
  EXPECT_THAT(Problem(emptied), HasSubstr("is empty"));
}

TEST_F(CertificatesTest, TheRevocationListIsReadWithoutThePair) {
  const IssuedCertificate issued = Node();
  const KeyPairPaths paths = Install(issued);
  ASSERT_TRUE(WriteFileAtomically(paths.key, "torn", {}).ok());
  EXPECT_THAT(LoadRevocationList(paths, clock_.Now())->revoked, IsEmpty());
  ASSERT_TRUE(authority_.Revoke(issued.record.serial, RevocationReason::kKeyCompromise).ok());
  const absl::StatusOr<RevocationList> list = LoadRevocationList(paths, clock_.Now());
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_THAT(list->revoked, ElementsAre(issued.record.serial));
  EXPECT_THAT(LoadRevocationList(paths, list->expire_time).status().message(),
              HasSubstr("out of date"));
  CertificateAuthority other(dir_.File("other"), &clock_, &random_);
  ASSERT_TRUE(other.Init("cluster2").ok());
  KeyPairPaths mixed = paths;
  mixed.crl = other.CrlFile();
  EXPECT_THAT(LoadRevocationList(mixed, clock_.Now()).status().message(),
              HasSubstr("was not signed by"));
  mixed.crl = dir_.File("empty");
  ASSERT_TRUE(WriteFileAtomically(mixed.crl, "", {}).ok());
  EXPECT_THAT(LoadRevocationList(mixed, clock_.Now()).status().message(), HasSubstr("is empty"));
}

TEST_F(CertificatesTest, PublishingTurnsOneLinkAndKeepsTheGenerationBefore) {
  const std::string out = dir_.File("tls");
  const auto publish = [&](const std::string& name) {
    const auto pair = LoadCheckedPair(Install(Node(name)), clock_.Now());
    ASSERT_TRUE(pair.ok()) << pair.status();
    ASSERT_TRUE(PublishPair(out, *pair).ok());
    EXPECT_EQ(IdentityOfPem(dir_.Read("tls/current/tls.crt"))->name, name);
  };
  publish("node1");
  EXPECT_EQ(ModeOf(dir_.File("tls/current/tls.key")), 0600U);
  EXPECT_EQ(ModeOf(out), 0700U);
  const Ran verified = Openssl(absl::StrCat("verify -attime ", absl::ToUnixSeconds(clock_.Now()),
                                            " -crl_check -CAfile ", out, "/current/ca.crt -CApath ",
                                            out, "/current/crl ", out, "/current/tls.crt"));
  EXPECT_EQ(verified.code, 0) << verified.output;
  publish("node2");
  publish("node3");
  EXPECT_FALSE(std::filesystem::exists(dir_.File("tls/generation-00000001")));
  EXPECT_TRUE(std::filesystem::exists(dir_.File("tls/generation-00000002/tls.crt")));
  EXPECT_EQ(std::filesystem::read_symlink(dir_.File("tls/current")), "generation-00000003");
}

}  // namespace
}  // namespace om
