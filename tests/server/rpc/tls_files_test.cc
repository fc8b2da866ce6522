#include "server/rpc/tls_files.h"

#include <sys/stat.h>

#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "server/auth/certificate_authority.h"
#include "server/base/file.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_random.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class TlsFilesTest : public ::testing::Test {
 protected:
  TlsFilesTest() : authority_(dir_.File("pki"), &clock_, &random_) {}
  void SetUp() override {
    ASSERT_THAT(authority_.Init("cluster1"), IsOk());
    tls_ = Started();
  }

  // As a daemon that has just started has them.
  std::unique_ptr<TlsFiles> Started() {
    TlsFiles::Options options;
    options.files = {dir_.File("tls.crt"), dir_.File("tls.key"), authority_.CertificateFile(),
                     authority_.CrlFile()};
    options.dir = dir_.File("published");
    return std::make_unique<TlsFiles>(options, &clock_, &counters_);
  }
  IssuedCertificate Issue(absl::Duration lifetime = absl::Hours(24 * 365)) {
    IssueRequest request;
    request.kind = CertificateKind::kNode;
    request.name = "node1";
    request.lifetime = lifetime;
    return authority_.Issue(request).value();
  }
  void WriteCertificate(const IssuedCertificate& issued) {
    EXPECT_THAT(WriteFileAtomically(dir_.File("tls.crt"), issued.certificate_pem, {}), IsOk());
  }
  void WriteKey(const IssuedCertificate& issued) {
    EXPECT_THAT(WriteFileAtomically(dir_.File("tls.key"), issued.key_pem, {}), IsOk());
  }
  IssuedCertificate Install(absl::Duration lifetime = absl::Hours(24 * 365)) {
    IssuedCertificate issued = Issue(lifetime);
    WriteKey(issued);
    WriteCertificate(issued);
    return issued;
  }
  // Whether gRPC would find this pair, and this one whole.
  bool Serves(const IssuedCertificate& issued) {
    const absl::StatusOr<FileContent> certificate = ReadFile(tls_->Published("tls.crt"), 1 << 16);
    const absl::StatusOr<FileContent> key = ReadFile(tls_->Published("tls.key"), 1 << 16);
    return certificate.ok() && key.ok() && certificate->text == issued.certificate_pem &&
           key->text == issued.key_pem;
  }
  int64_t Count(const char* name) { return counters_.Get(name)->value(); }

  TempDir dir_;
  FakeClock clock_;
  SeededSecureRandom random_{7};
  Counters counters_;
  CertificateAuthority authority_;
  std::unique_ptr<TlsFiles> tls_;
};

TEST_F(TlsFilesTest, WithoutFilesNothingIsServedAndOneComplaintIsEnough) {
  EXPECT_TRUE(tls_->Refresh());
  EXPECT_FALSE(tls_->state()->serving);
  EXPECT_THAT(tls_->state()->problem, HasSubstr(dir_.File("tls.crt")));
  EXPECT_FALSE(tls_->Refresh());
  EXPECT_EQ(Count("tls.bad_files"), 1);
  EXPECT_EQ(Count("tls.reloads"), 0);
  const IssuedCertificate issued = Install();
  EXPECT_TRUE(tls_->Refresh());
  EXPECT_TRUE(tls_->state()->serving);
  EXPECT_TRUE(Serves(issued));
}

TEST_F(TlsFilesTest, AGoodPairIsPublishedOnceAndEndsWithWhatEndsFirst) {
  const IssuedCertificate issued = Install();
  EXPECT_TRUE(tls_->Refresh());
  const std::shared_ptr<const TlsState> state = tls_->state();
  EXPECT_TRUE(state->serving);
  EXPECT_THAT(state->problem, IsEmpty());
  EXPECT_EQ(state->expire_time, authority_.CrlExpireTime().value()) << "a year and 30 days";
  EXPECT_TRUE(Serves(issued));
  EXPECT_FALSE(tls_->Refresh());
  EXPECT_EQ(tls_->state(), state);
  EXPECT_EQ(Count("tls.reloads"), 1);
  EXPECT_EQ(Count("tls.bad_files"), 0);
  const IssuedCertificate brief = Install(absl::Hours(24));
  EXPECT_TRUE(tls_->Refresh());
  EXPECT_EQ(tls_->state()->expire_time, brief.record.not_after);
  EXPECT_TRUE(Serves(brief));
}

TEST_F(TlsFilesTest, AHalfWrittenPairLeavesTheOldOneInService) {
  const IssuedCertificate old = Install();
  ASSERT_TRUE(tls_->Refresh());
  const IssuedCertificate fresh = Issue();
  WriteKey(fresh);
  EXPECT_TRUE(tls_->Refresh());
  EXPECT_TRUE(tls_->state()->serving);
  EXPECT_THAT(tls_->state()->problem, HasSubstr("is not the key of"));
  EXPECT_TRUE(Serves(old));
  EXPECT_FALSE(tls_->Refresh()) << "the same is wrong";
  EXPECT_EQ(Count("tls.bad_files"), 1);
  WriteCertificate(fresh);
  EXPECT_TRUE(tls_->Refresh());
  EXPECT_THAT(tls_->state()->problem, IsEmpty());
  EXPECT_TRUE(Serves(fresh));
}

TEST_F(TlsFilesTest, TornAndForeignFilesAreToldByTheirPathsAndNeverServed) {
  const IssuedCertificate old = Install();
  ASSERT_TRUE(tls_->Refresh());
  CertificateAuthority stranger(dir_.File("other"), &clock_, &random_);
  ASSERT_THAT(stranger.Init("cluster2"), IsOk());
  const IssuedCertificate foreign = stranger.Issue({CertificateKind::kNode, "node1", {}}).value();
  IssuedCertificate torn_key = old;
  torn_key.key_pem.resize(torn_key.key_pem.size() / 2);
  IssuedCertificate torn_certificate = old;
  torn_certificate.certificate_pem.resize(torn_certificate.certificate_pem.size() / 2);
  IssuedCertificate empty = old;
  empty.certificate_pem.clear();
  int bad = 0;
  for (const auto& [pair, file] :
       {std::pair<const IssuedCertificate*, const char*>(&foreign, "tls.crt"),
        {&torn_key, "tls.key"},
        {&torn_certificate, "tls.crt"},
        {&empty, "tls.crt"}}) {
    SCOPED_TRACE(++bad);
    WriteKey(*pair);
    WriteCertificate(*pair);
    tls_->Refresh();
    EXPECT_TRUE(tls_->state()->serving);
    EXPECT_TRUE(Serves(old));
    EXPECT_THAT(tls_->state()->problem,
                AllOf(HasSubstr(dir_.File(file)), Not(HasSubstr(old.key_pem.substr(40, 20)))));
  }
}

TEST_F(TlsFilesTest, AKeyThatOthersMayReadIsNotTaken) {
  Install();
  ASSERT_EQ(chmod(dir_.File("tls.key").c_str(), 0640), 0);
  tls_->Refresh();
  EXPECT_FALSE(tls_->state()->serving);
  EXPECT_THAT(tls_->state()->problem, HasSubstr(dir_.File("tls.key")));
  ASSERT_EQ(chmod(dir_.File("tls.key").c_str(), 0600), 0);
  EXPECT_TRUE(tls_->Refresh());
  EXPECT_TRUE(tls_->state()->serving);
}

TEST_F(TlsFilesTest, WhatIsRevokedIsKnownAsSoonAsTheListSaysIt) {
  const IssuedCertificate served = Install();
  const IssuedCertificate stolen = authority_.Issue({CertificateKind::kUser, "alice", {}}).value();
  ASSERT_TRUE(tls_->Refresh());
  EXPECT_FALSE(tls_->state()->IsRevoked(stolen.record.serial));
  ASSERT_THAT(authority_.Revoke(stolen.record.serial, RevocationReason::kKeyCompromise), IsOk());
  EXPECT_TRUE(tls_->Refresh());
  EXPECT_THAT(tls_->state()->revoked, ElementsAre(stolen.record.serial));
  EXPECT_TRUE(tls_->state()->IsRevoked(stolen.record.serial));
  EXPECT_FALSE(tls_->state()->IsRevoked(served.record.serial));
  EXPECT_FALSE(tls_->state()->IsRevoked(""));
  EXPECT_THAT(tls_->state()->problem, IsEmpty());
}

TEST_F(TlsFilesTest, TheOwnCertificateBeingRevokedIsToldAndTakesNoServiceDown) {
  const IssuedCertificate served = Install();
  ASSERT_TRUE(tls_->Refresh());
  ASSERT_THAT(authority_.Revoke(served.record.serial, RevocationReason::kSuperseded), IsOk());
  EXPECT_TRUE(tls_->Refresh());
  EXPECT_TRUE(tls_->state()->serving);
  EXPECT_THAT(tls_->state()->problem, HasSubstr("revoked"));
  EXPECT_TRUE(Serves(served));
}

TEST_F(TlsFilesTest, AListThatIsGoneIsNoReasonToForgetWhatItRevoked) {
  Install();
  const IssuedCertificate stolen = authority_.Issue({CertificateKind::kUser, "alice", {}}).value();
  ASSERT_THAT(authority_.Revoke(stolen.record.serial, RevocationReason::kKeyCompromise), IsOk());
  ASSERT_TRUE(tls_->Refresh());
  ASSERT_TRUE(std::filesystem::remove(authority_.CrlFile()));
  EXPECT_TRUE(tls_->Refresh());
  EXPECT_THAT(tls_->state()->problem, HasSubstr(authority_.CrlFile()));
  EXPECT_TRUE(tls_->state()->serving);
  EXPECT_TRUE(tls_->state()->IsRevoked(stolen.record.serial));
}

TEST_F(TlsFilesTest, WhatWasPublishedOutlivesAStartWithBadFiles) {
  const IssuedCertificate old = Install();
  ASSERT_TRUE(tls_->Refresh());
  WriteKey(Issue());
  tls_ = Started();
  EXPECT_FALSE(tls_->state()->serving);
  EXPECT_TRUE(tls_->Refresh());
  EXPECT_TRUE(tls_->state()->serving);
  EXPECT_THAT(tls_->state()->problem, HasSubstr("is not the key of"));
  EXPECT_TRUE(Serves(old));
  // Unless it is no good any more itself.
  clock_.Advance(std::chrono::hours(24 * 400));
  tls_ = Started();
  tls_->Refresh();
  EXPECT_FALSE(tls_->state()->serving);
}

TEST_F(TlsFilesTest, DatesThatGoByMendAPairWithoutATouchOfItsFiles) {
  const IssuedCertificate issued = Install();
  // The clock of this node is behind that of the authority.
  clock_.JumpWall(-absl::Hours(1));
  tls_->Refresh();
  EXPECT_FALSE(tls_->state()->serving);
  EXPECT_THAT(tls_->state()->problem, HasSubstr("not yet valid"));
  clock_.Advance(std::chrono::hours(1));
  EXPECT_TRUE(tls_->Refresh());
  EXPECT_TRUE(tls_->state()->serving);
  EXPECT_TRUE(Serves(issued));
}

}  // namespace
}  // namespace om
