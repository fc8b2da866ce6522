#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/file.h"
#include "server/crm/drivers/remove_tree.h"
#include "tests/server/crm/driver_fixture.h"

namespace om {
namespace {

using ::testing::HasSubstr;

bool Exists(const std::string& path) {
  struct stat st = {};
  return lstat(path.c_str(), &st) == 0;
}

class DirectoryDriverTest : public DriverTest {
 protected:
  void ConfigurePath(const std::string& path) {
    Configure(absl::StrCat("[fs#1]\ntype = directory\npath = ", path, "\nperm = 0750\n"));
  }
};

TEST_F(DirectoryDriverTest, ProvisioningMakesItAndUnprovisioningRemovesTheTree) {
  const std::string path = root_.File("srv/data");
  ConfigurePath(path);
  EXPECT_EQ(Driver("fs#1")->Provisioned(), false);
  EXPECT_EQ(StateOf("fs#1"), Availability::kDown);
  ASSERT_THAT(Driver("fs#1")->Provision(), IsOk());
  EXPECT_EQ(Driver("fs#1")->Provisioned(), true);
  EXPECT_EQ(StateOf("fs#1"), Availability::kNa);
  struct stat st = {};
  ASSERT_EQ(stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777u, 0750u);
  root_.Write("srv/data/a/b/c/file", "x");
  root_.Write("srv/data/a/other", "x");
  root_.Write("srv/beside", "x");
  ASSERT_THAT(Driver("fs#1")->Unprovision(), IsOk());
  EXPECT_FALSE(Exists(path));
  EXPECT_TRUE(Exists(root_.File("srv/beside")));
  EXPECT_THAT(Driver("fs#1")->Unprovision(), IsOk());
}

TEST_F(DirectoryDriverTest, AWrongModeIsAWarningThatAStartMends) {
  ConfigurePath(root_.File("srv/data"));
  ASSERT_THAT(MakeDirectories(root_.File("srv/data"), 0700), IsOk());
  EXPECT_EQ(StateOf("fs#1"), Availability::kWarn);
  EXPECT_THAT(StatusLines(), HasSubstr("mode is 700, expected 750"));
  EXPECT_EQ(*Driver("fs#1")->Start(), false);
  EXPECT_EQ(StateOf("fs#1"), Availability::kNa);
}

TEST_F(DirectoryDriverTest, LinksInTheTreeAreRemovedAndNotFollowed) {
  root_.Write("elsewhere/file", "x");
  ConfigurePath(root_.File("srv/data"));
  ASSERT_THAT(Driver("fs#1")->Provision(), IsOk());
  ASSERT_EQ(symlink(root_.File("elsewhere").c_str(), root_.File("srv/data/link").c_str()), 0);
  ASSERT_EQ(symlink("/nothing", root_.File("srv/data/dangling").c_str()), 0);
  ASSERT_THAT(Driver("fs#1")->Unprovision(), IsOk());
  EXPECT_TRUE(Exists(root_.File("elsewhere/file")));
  EXPECT_FALSE(Exists(root_.File("srv/data")));
}

TEST_F(DirectoryDriverTest, ALinkInThePlaceOfTheDirectoryIsRefused) {
  root_.Write("elsewhere/file", "x");
  ASSERT_THAT(MakeDirectories(root_.File("srv")), IsOk());
  ASSERT_EQ(symlink(root_.File("elsewhere").c_str(), root_.File("srv/data").c_str()), 0);
  for (const char* spelling : {"srv/data", "srv/data/", "srv//data/."}) {
    ConfigurePath(root_.File(spelling));
    EXPECT_THAT(Driver("fs#1")->Unprovision(),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("symbolic link")))
        << spelling;
  }
  EXPECT_TRUE(Exists(root_.File("elsewhere/file")));
}

TEST_F(DirectoryDriverTest, ALinkOnTheWayToASystemDirectoryIsSeenThrough) {
  ASSERT_EQ(symlink("/proc", root_.File("way").c_str()), 0);
  ConfigurePath(root_.File("way/sys"));  // Not even a fault of the check could harm it.
  EXPECT_THAT(Driver("fs#1")->Unprovision(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not removed")));
}

TEST_F(DirectoryDriverTest, WhatHoldsTheDaemonsFilesIsRefused) {
  ASSERT_THAT(MakeDirectories(root_.File("var/svc/svc1")), IsOk());
  for (const char* path : {"", "etc", "var", "var/svc", "var/svc/svc1"}) {
    ConfigurePath(root_.File(path));
    EXPECT_THAT(Driver("fs#1")->Unprovision(), StatusIs(absl::StatusCode::kFailedPrecondition))
        << path;
  }
  EXPECT_TRUE(Exists(root_.File("etc/cluster.conf")));
}

TEST_F(DirectoryDriverTest, AMountInItIsNotEmptied) {
  ConfigurePath(root_.File("srv/data"));
  ASSERT_THAT(MakeDirectories(root_.File("srv/data/mnt")), IsOk());
  const std::string mount_point = root_.File("srv/data/mnt");
  if (mount("none", mount_point.c_str(), "tmpfs", 0, nullptr) != 0) {
    GTEST_SKIP() << "mounting needs root";
  }
  root_.Write("srv/data/mnt/file", "x");
  EXPECT_THAT(Driver("fs#1")->Unprovision(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is mounted in it")));
  // Were it mounted after that check, the descent itself would stop there.
  EXPECT_THAT(RemoveTree(root_.File("srv/data"), &interrupt_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another file system")));
  EXPECT_THAT(RemoveTree(mount_point, &interrupt_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is a mount point")));
  EXPECT_TRUE(Exists(root_.File("srv/data/mnt/file")));
  EXPECT_EQ(umount(mount_point.c_str()), 0);
}

TEST(RemovablePathTest, SystemDirectoriesAreRefused) {
  for (const char* path : {"/",
                           "/srv",
                           "/data",
                           "/etc",
                           "/etc/ssl",
                           "/etc/opensvc",
                           "/usr",
                           "/usr/lib",
                           "/usr/share/x",
                           "/usr/local",
                           "/usr/local/bin",
                           "/bin/x",
                           "/lib64/x",
                           "/boot/grub",
                           "/dev/shm",
                           "/dev/disk",
                           "/proc/1",
                           "/sys/fs",
                           "/var",
                           "/var/lib",
                           "/var/log",
                           "/var/tmp",
                           "/var/lib/dpkg",
                           "/var/lib/opensvc",
                           "/home/someone",
                           "/run/user",
                           "relative/path",
                           "//x/y"}) {
    EXPECT_THAT(CheckRemovablePath(path, {}, {}), StatusIs(absl::StatusCode::kFailedPrecondition))
        << path;
  }
}

TEST(RemovablePathTest, DirectoriesOfServicesAreNot) {
  for (const char* path :
       {"/srv/app", "/opt/app", "/var/lib/app", "/home/someone/app", "/tmp/app", "/data/app",
        "/dev/shm/app", "/usr/local/app/data", "/binary/x", "/var/lib/opensvc/svc/svc1/data"}) {
    EXPECT_THAT(CheckRemovablePath(path, {"/var/lib/opensvc/svc/svc1"}, {"/", "/proc", "/home"}),
                IsOk())
        << path;
  }
}

TEST(RemovablePathTest, MountPointsAndWhatHoldsOneAreRefused) {
  EXPECT_THAT(CheckRemovablePath("/srv/app", {}, {"/", "/srv/app"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is a mount point")));
  EXPECT_THAT(CheckRemovablePath("/srv/app", {}, {"/", "/srv/app/data"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("/srv/app/data")));
  EXPECT_THAT(CheckRemovablePath("/srv/app", {}, {"/", "/srv/apple"}), IsOk());
}

}  // namespace
}  // namespace om
