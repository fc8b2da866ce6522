#include "server/service/user_directory.h"

#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "server/base/file.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class UserDirectoryTest : public ::testing::Test {
 protected:
  static std::string FileOf(absl::string_view name) {
    return absl::StrCat("etc/namespaces/system/usr/", name, ".conf");
  }
  // Replaced in one step, as those who edit do: another file for whoever looks at it again.
  void Write(absl::string_view name, absl::string_view text) {
    dir_.Write(FileOf("folder"), "");
    EXPECT_THAT(WriteFileAtomically(dir_.File(FileOf(name)), text, {}), IsOk());
    EXPECT_EQ(unlink(dir_.File(FileOf("folder")).c_str()), 0);
  }
  void Grant(absl::string_view name, absl::string_view grant) {
    Write(name, absl::StrCat("[DEFAULT]\ngrant = ", grant, "\n"));
  }
  void Remove(absl::string_view name) { EXPECT_EQ(unlink(dir_.File(FileOf(name)).c_str()), 0); }
  // What the user holds; "unknown" without one.
  std::string Held(absl::string_view name) const { return Text(users_.Find(name)); }
  std::string HeldByCertificate(absl::string_view cn) const {
    return Text(users_.FindByCertificateName(cn));
  }
  static std::string Text(const absl::StatusOr<UserFacts>& facts) {
    if (facts.ok()) return absl::StrCat(facts->name, ": ", facts->grants.ToString());
    EXPECT_THAT(facts, StatusIs(absl::StatusCode::kNotFound));
    return "unknown";
  }

  TempDir dir_;
  UserDirectory users_{Roots::Under(dir_.path())};
};

TEST_F(UserDirectoryTest, WithoutTheFolderThereAreNoUsersAndNothingIsWrong) {
  users_.Refresh();
  EXPECT_EQ(Held("alice"), "unknown");
  EXPECT_EQ(HeldByCertificate("alice"), "unknown");
  EXPECT_THAT(users_.Problems(), IsEmpty());
}

TEST_F(UserDirectoryTest, AUserIsKnownByTheNameOfTheObjectAndHoldsWhatItGrants) {
  Grant("alice", "operator:ns1 blacklistadmin");
  Write("bare", "[DEFAULT]\nid = 1\n");
  EXPECT_EQ(Held("alice"), "unknown") << "nothing was looked at yet";
  users_.Refresh();
  EXPECT_THAT(Held("alice"), AllOf(HasSubstr("operator:ns1"), HasSubstr("blacklistadmin")));
  EXPECT_EQ(HeldByCertificate("alice"), Held("alice"));
  EXPECT_EQ(Held("bare"), "bare: ");
  EXPECT_EQ(Held("Alice"), "unknown");
  EXPECT_EQ(Held(""), "unknown");
  EXPECT_THAT(users_.Problems(), IsEmpty());
}

TEST_F(UserDirectoryTest, CertificatesUnderAnotherNameAreNoneUnderTheOwn) {
  Write("robot", "[DEFAULT]\ncn = build.robot\ngrant = root\n");
  users_.Refresh();
  EXPECT_EQ(Held("robot"), "robot: root");
  EXPECT_EQ(HeldByCertificate("build.robot"), "robot: root");
  EXPECT_EQ(HeldByCertificate("robot"), "unknown");
  EXPECT_EQ(Held("build.robot"), "unknown");
}

TEST_F(UserDirectoryTest, ACertificateNameThatTwoOrThreeClaimIsNobodys) {
  Grant("alice", "guest:ns1");
  for (const char* thief : {"aaron", "zoe"}) {
    Write(thief, "[DEFAULT]\ncn = alice\ngrant = root\n");
    users_.Refresh();
    EXPECT_EQ(HeldByCertificate("alice"), "unknown") << thief;
    EXPECT_EQ(Held("alice"), "alice: guest:ns1");
    EXPECT_THAT(users_.Problems(),
                ElementsAre(AllOf(HasSubstr("more than one user"), HasSubstr("alice"))));
  }
  Remove("aaron");
  Remove("zoe");
  users_.Refresh();
  EXPECT_EQ(HeldByCertificate("alice"), "alice: guest:ns1");
  EXPECT_THAT(users_.Problems(), IsEmpty());
}

TEST_F(UserDirectoryTest, WhatChangesCountsWithTheNextLook) {
  Grant("alice", "guest:ns1");
  Grant("bob", "root");
  users_.Refresh();
  Grant("alice", "guest:ns2");
  Remove("bob");
  Grant("carol", "guest:ns3");
  EXPECT_EQ(Held("alice"), "alice: guest:ns1");
  users_.Refresh();
  EXPECT_EQ(Held("alice"), "alice: guest:ns2");
  EXPECT_EQ(Held("bob"), "unknown");
  EXPECT_EQ(HeldByCertificate("bob"), "unknown");
  EXPECT_EQ(Held("carol"), "carol: guest:ns3");
}

TEST_F(UserDirectoryTest, AFileThatCannotBeUsedGivesNothingAndIsToldUntilItIsMended) {
  Grant("good", "guest:ns1");
  Grant("torn", "root");
  users_.Refresh();
  const std::string too_long = absl::StrCat("[DEFAULT]\n# ", std::string(1 << 20, 'x'), "\n");
  for (const std::string& text : {std::string("[DEFAULT]\ngrant = root:a:b\n"),
                                  std::string("[DEFAULT\ngrant = root\n"), too_long}) {
    SCOPED_TRACE(text.substr(0, 40));
    Write("torn", text);
    for (int looks = 0; looks < 2; ++looks) {
      users_.Refresh();
      EXPECT_EQ(Held("torn"), "torn: ");
      EXPECT_EQ(Held("good"), "good: guest:ns1");
      EXPECT_THAT(users_.Problems(), ElementsAre(HasSubstr("user torn holds nothing")));
    }
  }
  Grant("torn", "root");
  users_.Refresh();
  EXPECT_EQ(Held("torn"), "torn: root");
  EXPECT_THAT(users_.Problems(), IsEmpty());
}

TEST_F(UserDirectoryTest, WhatIsNoConfigurationIsNoUser) {
  Grant("alice", "guest:ns1");
  for (const char* name :
       {"etc/namespaces/system/usr/bob.conf.new", "etc/namespaces/system/usr/.carol.conf",
        "etc/namespaces/system/usr/.conf", "etc/namespaces/system/usr/dave"}) {
    dir_.Write(name, "[DEFAULT]\ngrant = root\n");
  }
  std::filesystem::create_directory(dir_.File(FileOf("folder")));
  users_.Refresh();
  for (const char* name : {"bob", "bob.conf", "carol", ".carol", "", "dave"}) {
    EXPECT_EQ(Held(name), "unknown") << name;
  }
  EXPECT_EQ(Held("alice"), "alice: guest:ns1");
  EXPECT_EQ(Held("folder"), "folder: ");
  EXPECT_THAT(users_.Problems(), ElementsAre(HasSubstr("user folder holds nothing")));
}

TEST_F(UserDirectoryTest, AFolderThatCannotBeReadLeavesTheUsersThatAreKnown) {
  Grant("alice", "guest:ns1");
  users_.Refresh();
  // Root may read any folder; a file in its place cannot be listed by anybody.
  const std::string folder = dir_.File("etc/namespaces/system/usr");
  std::filesystem::rename(folder, dir_.File("aside"));
  dir_.Write("etc/namespaces/system/usr", "");
  users_.Refresh();
  EXPECT_EQ(Held("alice"), "alice: guest:ns1");
  EXPECT_EQ(HeldByCertificate("alice"), "alice: guest:ns1");
  EXPECT_THAT(users_.Problems(), ElementsAre(AllOf(HasSubstr("not read anew"), HasSubstr(folder))));
  std::filesystem::remove(folder);
  users_.Refresh();
  EXPECT_EQ(Held("alice"), "unknown") << "a folder that is gone takes its users along";
  std::filesystem::rename(dir_.File("aside"), folder);
  users_.Refresh();
  EXPECT_EQ(Held("alice"), "alice: guest:ns1");
  EXPECT_THAT(users_.Problems(), IsEmpty());
}

TEST_F(UserDirectoryTest, UsersPastTheBoundAreToldAndNotKnown) {
  Grant("alice", "guest:ns1");
  const std::string text = "[DEFAULT]\ngrant = guest:ns1\n";
  for (size_t i = 0; i < UserDirectory::kMaxUsers; ++i) {
    dir_.Write(FileOf(absl::StrCat("user", i)), text);
  }
  users_.Refresh();
  size_t known = users_.Find("alice").ok() ? 1 : 0;
  for (size_t i = 0; i < UserDirectory::kMaxUsers; ++i) {
    known += users_.Find(absl::StrCat("user", i)).ok() ? 1 : 0;
  }
  EXPECT_EQ(known, UserDirectory::kMaxUsers);
  EXPECT_THAT(users_.Problems(), ElementsAre(HasSubstr("only the first 10000 count")));
  Remove("user0");
  users_.Refresh();
  EXPECT_EQ(Held("alice"), "alice: guest:ns1");
  EXPECT_THAT(users_.Problems(), IsEmpty());
}

TEST_F(UserDirectoryTest, AnUnknownNameIsToldShortAndWithoutItsControlCharacters) {
  const absl::StatusOr<UserFacts> found =
      users_.Find(absl::StrCat("x\n\x1b[31m", std::string(5000, 'y')));
  EXPECT_THAT(found, StatusIs(absl::StatusCode::kNotFound,
                              AllOf(HasSubstr("x\\n\\x1b[31m"), Not(HasSubstr("\n")))));
  EXPECT_LT(found.status().message().size(), 200u);
}

}  // namespace
}  // namespace om
