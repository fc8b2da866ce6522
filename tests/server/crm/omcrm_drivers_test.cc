// All drivers together, through omcrm itself, on fakes of the host's programs.
#include "tests/server/crm/fake_tools.h"
#include "tests/server/crm/omcrm_fixture.h"

namespace om {
namespace {

using ::testing::HasSubstr;

class OmcrmDriversTest : public OmcrmTest {
 protected:
  OmcrmDriversTest() {
    for (const auto& [name, script] :
         {std::make_pair("ip", kFakeIp), std::make_pair("ping", kFakePing),
          std::make_pair("docker", kFakeEngine)}) {
      chmod(root_.Write(absl::StrCat("bin/", name), script).c_str(), 0755);
    }
    Configure(
        absl::StrCat("[DEFAULT]\nid = id1\nnodes = n1\n"
                     "[ip#1]\nipname = 192.0.2.10\nipdev = eth0\n"
                     "[fs#1]\ntype = flag\n"
                     "[fs#2]\ntype = directory\npath = ",
                     root_.File("srv/data"),
                     "\n[container#1]\ntype = docker\nimage = nginx:1.25\nstart_timeout = 200\n"
                     "[app#1]\nscript = @SCRIPT@\nstart = 1\nstop = 1\ncheck = 1\n"
                     "[task#1]\ncommand = /bin/echo worked\n"));
  }
  int DoWithFakes(const std::string& action) {
    return Run({"-s", "svc1", action, "--local"},
               {absl::StrCat("PATH=", root_.path(), "/bin:/usr/bin:/bin")});
  }
  std::string StateOf(const std::string& rid) {
    return Status()["resources"][rid]["status"].get<std::string>();
  }
};

TEST_F(OmcrmDriversTest, AServiceOfAllKindsStartsAndStops) {
  ASSERT_EQ(DoWithFakes("start"), 0) << root_.Read("omcrm.out");
  const Json resources = Status()["resources"];
  for (const auto& [rid, state, type] :
       {std::make_tuple("ip#1", "up", "ip.host"), std::make_tuple("fs#1", "up", "fs.flag"),
        std::make_tuple("fs#2", "n/a", "fs.dir"),
        std::make_tuple("container#1", "up", "container.docker"),
        std::make_tuple("app#1", "up", "app.forking"), std::make_tuple("task#1", "n/a", "task")}) {
    EXPECT_EQ(resources[rid]["status"], state) << rid;
    EXPECT_EQ(resources[rid]["type"], type) << rid;
  }
  EXPECT_EQ(Status()["avail"], "up");
  EXPECT_EQ(DoWithFakes("start"), 0);
  ASSERT_EQ(DoWithFakes("stop"), 0) << root_.Read("omcrm.out");
  EXPECT_EQ(Status()["avail"], "down");
  // The order of groups, and back.
  const std::string log = root_.Read("log/svc1.log");
  size_t before = 0;
  for (const char* step :
       {"exec ip addr add", "create flag", "make directory", "exec docker run",
        "n1.svc1.app#1 - INFO - exec", "exec docker stop", "remove flag", "exec ip addr del"}) {
    const size_t at = log.find(step);
    ASSERT_NE(at, std::string::npos) << step;
    EXPECT_GT(at, before) << step;
    before = at;
  }
}

TEST_F(OmcrmDriversTest, AFailingAppTakesBackAddressFlagAndContainer) {
  Flag("fail.app#1");
  EXPECT_EQ(DoWithFakes("start"), 1);
  EXPECT_EQ(StateOf("ip#1"), "down");
  EXPECT_EQ(StateOf("fs#1"), "down");
  EXPECT_EQ(StateOf("container#1"), "down");
}

TEST_F(OmcrmDriversTest, AStopThatAContainerWithstandsFailsAndTheAddressStays) {
  ASSERT_EQ(DoWithFakes("start"), 0);
  root_.Write("engine/stuck", "");
  EXPECT_EQ(DoWithFakes("stop"), 1);
  EXPECT_THAT(root_.Read("omcrm.out"), HasSubstr("still running"));
  EXPECT_EQ(StateOf("container#1"), "up");
  EXPECT_EQ(StateOf("ip#1"), "up");
}

TEST_F(OmcrmDriversTest, ProvisioningMakesWhatUnprovisioningRemoves) {
  ASSERT_EQ(DoWithFakes("provision"), 0) << root_.Read("omcrm.out");
  EXPECT_EQ(access(root_.File("srv/data").c_str(), F_OK), 0);
  EXPECT_EQ(access(root_.File("engine/images/nginx:1.25").c_str(), F_OK), 0);
  EXPECT_EQ(Status()["resources"]["fs#2"]["provisioned"]["state"], true);
  root_.Write("srv/data/file", "x");
  ASSERT_EQ(DoWithFakes("unprovision"), 0) << root_.Read("omcrm.out");
  EXPECT_NE(access(root_.File("srv/data").c_str(), F_OK), 0);
  EXPECT_NE(access(root_.File("engine/c/svc1.container.1").c_str(), F_OK), 0);
  EXPECT_EQ(Status()["resources"]["fs#2"]["provisioned"]["state"], false);
}

// One that not even a fault of the check could harm.
TEST_F(OmcrmDriversTest, ASystemDirectoryFailsTheUnprovisioning) {
  Configure("[DEFAULT]\nid = id1\nnodes = n1\n[fs#1]\ntype = directory\npath = /proc/sys\n");
  EXPECT_EQ(DoWithFakes("unprovision"), 1);
  EXPECT_THAT(root_.Read("omcrm.out"), HasSubstr("not removed"));
}

TEST_F(OmcrmDriversTest, ATaskIsRunAndItsOutputLogged) {
  EXPECT_EQ(DoWithFakes("run"), 0) << root_.Read("omcrm.out");
  EXPECT_THAT(root_.Read("log/svc1.log"), HasSubstr("n1.svc1.task#1 - INFO - | worked\n"));
}

}  // namespace
}  // namespace om
