// The monitor action, through omcrm itself. Nothing here reaches the kernel: below a root of its
// own omcrm takes a host down only through a file that it is told of.
#include <string>

#include "tests/server/crm/omcrm_fixture.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class OmcrmTocTest : public OmcrmTest {
 protected:
  void ConfigureToc(const std::string& action) {
    ConfigureForking(absl::StrCat("monitor_action = ", action, "\npre_monitor_action = touch ",
                                  root_.File("before"), "\n"));
    ASSERT_EQ(Do("start"), 0);
  }
  bool Announced() { return access(root_.File("before").c_str(), F_OK) == 0; }
};

TEST_F(OmcrmTocTest, FreezestopFreezesAndStops) {
  ConfigureToc("freezestop");
  EXPECT_EQ(Do("toc"), 0) << root_.Read("omcrm.out");
  EXPECT_TRUE(Announced());
  EXPECT_FALSE(IsUp("app#1"));
  EXPECT_TRUE(Status().contains("frozen"));
}

TEST_F(OmcrmTocTest, AFrozenInstanceIsLeftAlone) {
  ConfigureToc("freezestop");
  ASSERT_EQ(Do("freeze"), 0);
  EXPECT_EQ(Do("toc"), 0);
  EXPECT_TRUE(IsUp("app#1"));
  EXPECT_FALSE(Announced());
}

TEST_F(OmcrmTocTest, WithoutAMonitorActionNothingIsDone) {
  ConfigureForking();
  ASSERT_EQ(Do("start"), 0);
  EXPECT_EQ(Do("toc"), 0);
  EXPECT_TRUE(IsUp("app#1"));
}

TEST_F(OmcrmTocTest, SwitchStopsAndAsksForAnotherNode) {
  ConfigureToc("switch");
  FakeDaemon daemon(root_.File("var/lsnr/lsnr.sock"));
  // It waits for the answer for a second, within which a busy machine may not give it.
  int code = 0;
  Await([&] {
    const pid_t pid = Spawn({"-s", "svc1", "toc", "--local"});
    EXPECT_EQ(daemon.Next()["action"], "wake_monitor");
    EXPECT_EQ(daemon.Next()["options"],
              (Json{{"svcpath", "svc1"}, {"status", "start failed"}, {"global_expect", "placed"}}));
    code = Wait(pid);
    return !absl::StrContains(root_.Read("omcrm.out"), "the daemon does not answer");
  });
  EXPECT_EQ(code, 0);
  EXPECT_FALSE(IsUp("app#1"));
}

TEST_F(OmcrmTocTest, AStopThatFailsAsksForNothing) {
  ConfigureToc("switch");
  Flag("stopfail");
  EXPECT_EQ(Do("toc"), 1);
  EXPECT_TRUE(IsUp("app#1"));
}

TEST_F(OmcrmTocTest, RebootAndCrashAreWrittenToTheFileThatIsNamed) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can take a host down";
  for (const auto& [action, order] :
       {std::pair<std::string, std::string>("reboot", "b"), {"crash", "c"}}) {
    ConfigureToc(action);
    const std::string trigger = root_.Write("trigger", "");
    EXPECT_EQ(Run({"-s", "svc1", "toc", "--local"}, {absl::StrCat("OM_SYSRQ_TRIGGER=", trigger)}),
              0);
    EXPECT_EQ(root_.Read("trigger"), order);
  }
}

TEST_F(OmcrmTocTest, BelowARootOfItsOwnNoHostIsTakenDown) {
  ConfigureToc("reboot");
  EXPECT_EQ(Do("toc"), 1);
  EXPECT_THAT(root_.Read("omcrm.out"), HasSubstr("OM_SYSRQ_TRIGGER"));
  EXPECT_TRUE(IsUp("app#1"));
}

TEST_F(OmcrmTocTest, ADryRunOnlyTells) {
  ConfigureToc("freezestop");
  EXPECT_EQ(Run({"-s", "svc1", "toc", "--dry-run"}), 0);
  EXPECT_THAT(root_.Read("omcrm.out"), HasSubstr("monitor_action freezestop\n"));
  EXPECT_FALSE(Announced());
  EXPECT_TRUE(IsUp("app#1"));
  EXPECT_THAT(Journal(), ElementsAre("start app#1"));
}

}  // namespace
}  // namespace om
