#include "server/daemon/boot_facts.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/file.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace om {
namespace {

class BootFactsTest : public ::testing::Test {
 protected:
  void SetUp() override { WriteProc("0b8d7a9e-1f2e-4d7b-8a51-6f1d5f0f0a01", 17); }
  void Write(const std::string& name, const std::string& text) {
    WriteOptions options;
    options.sync = false;
    ASSERT_THAT(WriteFileAtomically(dir_.File(name), text, options), IsOk());
  }
  // A /proc of a host started under that id, whose process 1 was started at that tick.
  void WriteProc(const std::string& boot_id, int ticks) {
    Write("proc/sys/kernel/random/boot_id", boot_id + "\n");
    Write("proc/1/stat",
          absl::StrCat("1 (odd) name) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 ", ticks,
                       " 1000 100\n"));
    Write("proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro quiet\n");
  }
  BootFacts Read(bool upgrade = false) { return ReadBootFacts(roots_, dir_.File("proc"), upgrade); }

  TempDir dir_;
  Roots roots_ = Roots::Under(dir_.path());
};

TEST_F(BootFactsTest, WithoutARecordNoBootIsAssumed) {
  EXPECT_FALSE(Read().start.rebooted);
  EXPECT_FALSE(Read().start.last_shutdown.has_value());
}

TEST_F(BootFactsTest, AnotherKernelOrAnotherFirstProcessIsABoot) {
  ASSERT_THAT(WriteBootIds(roots_, Read()), IsOk());
  EXPECT_FALSE(Read().start.rebooted);
  WriteProc("0b8d7a9e-1f2e-4d7b-8a51-6f1d5f0f0a02", 17);
  EXPECT_TRUE(Read().start.rebooted);
  WriteProc("0b8d7a9e-1f2e-4d7b-8a51-6f1d5f0f0a01", 18);
  EXPECT_TRUE(Read().start.rebooted) << "a container that was started again";
  ASSERT_THAT(WriteBootIds(roots_, Read()), IsOk());
  EXPECT_FALSE(Read().start.rebooted);
}

TEST_F(BootFactsTest, ALegacyRecordIsComparedToTwoDecimals) {
  const timespec times[2] = {{1'795'364'472, 501'000'000}, {1'795'364'472, 501'000'000}};
  ASSERT_EQ(utimensat(AT_FDCWD, dir_.File("proc/1").c_str(), times, 0), 0);
  const std::string now = Read().legacy_id;
  EXPECT_EQ(now, "1795364472.501000");
  Write("var/last_boot_id", now);
  EXPECT_FALSE(Read().start.rebooted);
  Write("var/last_boot_id", now + "4");
  EXPECT_FALSE(Read().start.rebooted);
  Write("var/last_boot_id", "1700000000.25");
  EXPECT_TRUE(Read().start.rebooted);
  Write("var/last_boot_id", "garbage");
  EXPECT_TRUE(Read().start.rebooted);
}

TEST_F(BootFactsTest, OurOwnRecordCountsForMoreThanTheLegacyOne) {
  ASSERT_THAT(WriteBootIds(roots_, Read()), IsOk());
  Write("var/last_boot_id", "1700000000.25");
  EXPECT_FALSE(Read().start.rebooted) << "the kernel made the entry of process 1 anew";
}

TEST_F(BootFactsTest, TheKernelsCommandLineIsReadByWords) {
  EXPECT_FALSE(Read().start.freeze_node);
  Write("proc/cmdline", "quiet osvc.freezer xosvc.freeze osvc.freeze=1\n");
  EXPECT_FALSE(Read().start.freeze_node);
  Write("proc/cmdline", "quiet osvc.freeze\n");
  EXPECT_TRUE(Read().start.freeze_node);
}

TEST_F(BootFactsTest, AHostThatTellsNothingOfItselfWasNotStarted) {
  ASSERT_THAT(WriteBootIds(roots_, Read()), IsOk());
  const BootFacts facts = ReadBootFacts(roots_, dir_.File("nothing"), true);
  EXPECT_FALSE(facts.start.rebooted);
  EXPECT_TRUE(facts.start.after_upgrade);
  EXPECT_EQ(facts.id, "");
}

TEST_F(BootFactsTest, TheLastCleanExitIsTheTimeOfItsFile) {
  WriteOptions options;
  options.mtime = absl::FromUnixSeconds(1'795'364'472);
  ASSERT_THAT(WriteFileAtomically(roots_.LastShutdown(), "", options), IsOk());
  EXPECT_EQ(Read().start.last_shutdown, options.mtime);
}

}  // namespace
}  // namespace om
