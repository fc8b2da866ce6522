// The driver ip.host: against a fake `ip` that keeps what it is told, and against the real one in a
// network namespace of its own.
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "server/base/file.h"
#include "server/crm/drivers/execution.h"
#include "tests/server/crm/driver_fixture.h"
#include "tests/server/crm/fake_tools.h"

namespace om {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

class HostAddressTest : public DriverTest {
 protected:
  HostAddressTest() {
    // Nothing of the host is found: neither its addresses nor its programs for asking others.
    for (const char* tool : {"sh", "dirname", "mkdir", "rm", "mv", "tail", "grep", "sleep"}) {
      const std::string target = absl::StrCat(
          access(absl::StrCat("/bin/", tool).c_str(), X_OK) == 0 ? "/bin/" : "/usr/bin/", tool);
      EXPECT_THAT(MakeDirectories(root_.File("bin")), IsOk());
      EXPECT_EQ(symlink(target.c_str(), root_.File(absl::StrCat("bin/", tool)).c_str()), 0);
    }
    instance_.environment = {absl::StrCat("PATH=", root_.path(), "/bin")};
    WriteProgram("ip", kFakeIp);
    WriteProgram("ping", kFakePing);
    root_.Write("net/journal", "");
    Configure("[ip#1]\nipname = 192.0.2.10\nipdev = eth0\nnetmask = 255.255.255.0\n");
  }
  std::vector<std::string> Journal() { return Lines("net/journal"); }
  void Set(const std::string& name) { root_.Write("net/" + name, ""); }
};

TEST_F(HostAddressTest, StartAndStopAddAndRemoveTheAddress) {
  EXPECT_EQ(Driver("ip#1")->Type(), "ip.host");
  EXPECT_EQ(Driver("ip#1")->Label(), "192.0.2.10/255.255.255.0 eth0");
  EXPECT_EQ(StateOf("ip#1"), Availability::kDown);
  EXPECT_THAT(Driver("ip#1")->Start(), IsOkAndHolds(true));
  EXPECT_EQ(StateOf("ip#1"), Availability::kUp);
  EXPECT_THAT(status_log_, IsEmpty());
  EXPECT_THAT(Driver("ip#1")->Start(), IsOkAndHolds(false));
  EXPECT_THAT(Driver("ip#1")->Stop(), IsOk());
  EXPECT_EQ(StateOf("ip#1"), Availability::kDown);
  EXPECT_THAT(Driver("ip#1")->Stop(), IsOk());
  EXPECT_THAT(Journal(),
              ElementsAre("addr add 192.0.2.10/24 dev eth0", "addr del 192.0.2.10/24 dev eth0"));
  EXPECT_THAT(Driver("ip#1")->Info(),
              IsOkAndHolds(ElementsAre(Pair("ipaddr", "192.0.2.10"), Pair("ipname", "192.0.2.10"),
                                       Pair("ipdev", "eth0"), Pair("netmask", "24"))));
}

TEST_F(HostAddressTest, AnAddressThatAnswersElsewhereIsNotStarted) {
  root_.Write("net/answering", "192.0.2.10\n");
  EXPECT_THAT(Driver("ip#1")->Start(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another host answers")));
  EXPECT_THAT(Journal(), IsEmpty());
  EXPECT_THAT(Lines("net/pings"), ElementsAre("-q -c 2 -W 1 192.0.2.10"));
}

TEST_F(HostAddressTest, WithoutMeansToAskOnlyTheTagStartsIt) {
  unlink(root_.File("bin/ping").c_str());
  EXPECT_THAT(Driver("ip#1")->Start(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("nonrouted")));
  EXPECT_THAT(Journal(), IsEmpty());
  Configure("[ip#1]\nipname = 192.0.2.10\nipdev = eth0\ntags = nonrouted\n");
  EXPECT_THAT(Driver("ip#1")->Start(), IsOkAndHolds(true));
}

TEST_F(HostAddressTest, ArpingAsksAndAnnounces) {
  unlink(root_.File("bin/ping").c_str());
  WriteProgram("arping",
               "#!/bin/sh\ndir=$(dirname \"$0\")/../net\necho \"$*\" >> \"$dir/arpings\"\n"
               "[ ! -e \"$dir/taken\" ]\n");
  Set("taken");
  EXPECT_THAT(Driver("ip#1")->Start(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another host answers")));
  unlink(root_.File("net/taken").c_str());
  EXPECT_THAT(Driver("ip#1")->Start(), IsOkAndHolds(true));
  EXPECT_THAT(Lines("net/arpings").back(), "-U -q -c 1 -w 2 -I eth0 192.0.2.10");
}

TEST_F(HostAddressTest, TheNetmaskIsTakenFromTheNeighbouringAddress) {
  Configure("[ip#1]\nipname = 192.0.2.10\nipdev = eth0\n");
  EXPECT_THAT(Driver("ip#1")->Start(), IsOkAndHolds(true));
  EXPECT_THAT(Journal(), ElementsAre("addr add 192.0.2.10/24 dev eth0"));
  Configure("[ip#1]\nipname = 198.51.100.1\nipdev = eth0\n");
  EXPECT_THAT(Driver("ip#1")->Start(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("ip#1.netmask")));
}

TEST_F(HostAddressTest, NetmasksThatAreNoneAreRefused) {
  for (const char* mask : {"33", "-1", "255.0.255.0", "x", "255.255.255.0.0"}) {
    Configure(absl::StrCat("[ip#1]\nipname = 192.0.2.10\nipdev = eth0\nnetmask = ", mask, "\n"));
    EXPECT_THAT(Driver("ip#1")->Start(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ip#1.netmask")))
        << mask;
  }
}

TEST_F(HostAddressTest, AnInterfaceThatIsDownIsBroughtUp) {
  Set("eth0.isdown");
  EXPECT_THAT(Driver("ip#1")->Start(), IsOkAndHolds(true));
  EXPECT_THAT(Journal(), ElementsAre("link set dev eth0 up", "addr add 192.0.2.10/24 dev eth0"));
}

TEST_F(HostAddressTest, WithoutCarrierItIsDownUnlessThatIsNotChecked) {
  ASSERT_THAT(Driver("ip#1")->Start(), IsOk());
  Set("eth0.nocarrier");
  EXPECT_EQ(StateOf("ip#1"), Availability::kDown);
  EXPECT_EQ(StatusLines(), "warn: no carrier\n");
  ASSERT_THAT(Driver("ip#1")->Stop(), IsOk());
  EXPECT_THAT(Driver("ip#1")->Start(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no carrier")));
  Configure("[ip#1]\nipname = 192.0.2.10\nipdev = eth0\ncheck_carrier = false\n");
  EXPECT_THAT(Driver("ip#1")->Start(), IsOkAndHolds(true));
  EXPECT_EQ(StateOf("ip#1"), Availability::kUp);
}

TEST_F(HostAddressTest, AnAddressOnAnotherInterfaceIsSeenAndLeftAlone) {
  ASSERT_THAT(Driver("ip#1")->Start(), IsOk());
  Configure("[ip#1]\nipname = 192.0.2.10\nipdev = eth1\nnetmask = 25\n");
  EXPECT_EQ(StateOf("ip#1"), Availability::kUp);
  EXPECT_EQ(StatusLines(),
            "warn: current dev eth0, expected eth1\nwarn: current netmask 24, expected 25\n");
  EXPECT_THAT(Driver("ip#1")->Stop(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is on eth0")));
  EXPECT_THAT(Driver("ip#1")->Start(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is on eth0")));
  EXPECT_EQ(Journal().size(), 1u);
}

TEST_F(HostAddressTest, AMissingInterfaceIsAnErrorAndDown) {
  Configure("[ip#1]\nipname = 192.0.2.10\nipdev = eth7\nnetmask = 24\n");
  EXPECT_EQ(StateOf("ip#1"), Availability::kDown);
  EXPECT_EQ(StatusLines(), "warn: interface eth7 not found\n");
  EXPECT_THAT(Driver("ip#1")->Start(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("\"eth7\"")));
  EXPECT_THAT(Driver("ip#1")->Stop(), IsOk());
}

TEST_F(HostAddressTest, AStartThatTheKernelRefusesSaysWhy) {
  Set("refuse");
  EXPECT_THAT(Driver("ip#1")->Start(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("RTNETLINK answers: refused")));
}

TEST_F(HostAddressTest, AnAddressThatStaysAfterItsRemovalFailsTheStop) {
  ASSERT_THAT(Driver("ip#1")->Start(), IsOk());
  Set("sticky");
  EXPECT_THAT(Driver("ip#1")->Stop(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("still there")));
}

TEST_F(HostAddressTest, AnIpv6AddressIsWaitedForUntilItCanBeUsed) {
  root_.Write("net/tentative", "1\n2\n3\n");
  Configure("[ip#1]\nipname = 2001:DB8::0010\nipdev = eth1\nnetmask = 64\n");
  EXPECT_THAT(Driver("ip#1")->Start(), IsOkAndHolds(true));
  EXPECT_EQ(root_.Read("net/tentative"), "");
  EXPECT_EQ(StateOf("ip#1"), Availability::kUp);
  EXPECT_THAT(Journal(), ElementsAre("addr add 2001:db8::10/64 dev eth1"));
}

TEST_F(HostAddressTest, AnIpv6AddressThatAnotherHostHasIsTakenBack) {
  Set("dadfailed");
  Configure("[ip#1]\nipname = 2001:db8::10\nipdev = eth1\nnetmask = 64\n");
  EXPECT_THAT(Driver("ip#1")->Start(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("another host has")));
  EXPECT_THAT(Journal(), ElementsAre("addr add 2001:db8::10/64 dev eth1",
                                     "addr del 2001:db8::10/64 dev eth1"));
}

TEST_F(HostAddressTest, AnAliasIsALabelOfTheAddress) {
  Configure("[ip#1]\nipname = 192.0.2.10\nipdev = eth0:3\n");
  EXPECT_THAT(Driver("ip#1")->Start(), IsOkAndHolds(true));
  EXPECT_THAT(Journal(), ElementsAre("addr add 192.0.2.10/24 dev eth0 label eth0:3"));
  EXPECT_EQ(StateOf("ip#1"), Availability::kUp);
  Configure("[ip#1]\nipname = 192.0.2.11\nipdev = eth0:3\nalias = false\n");
  EXPECT_THAT(Driver("ip#1")->Start(), IsOkAndHolds(true));
  EXPECT_EQ(Journal().back(), "addr add 192.0.2.11/24 dev eth0");
}

TEST_F(HostAddressTest, ANameIsResolvedByTheHost) {
  WriteProgram("getent",
               "#!/bin/sh\n[ \"$2\" = web ] || exit 2\n"
               "echo '2001:db8::7 STREAM web'\necho '192.0.2.7   STREAM web'\n");
  Configure("[ip#1]\nipname = web\nipdev = eth0\nnetmask = 24\n");
  EXPECT_EQ(Driver("ip#1")->Label(), "192.0.2.7/24 eth0 web");
  EXPECT_THAT(Driver("ip#1")->Start(), IsOkAndHolds(true));
  EXPECT_THAT(Journal(), ElementsAre("addr add 192.0.2.7/24 dev eth0"));
  Configure("[ip#1]\nipname = nothere\nipdev = eth0\nnetmask = 24\n");
  EXPECT_EQ(StateOf("ip#1"), Availability::kWarn);
  EXPECT_THAT(StatusLines(), HasSubstr("could not resolve name nothere"));
  EXPECT_THAT(Driver("ip#1")->Stop(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(HostAddressTest, KeywordsThatCannotBeUsedAreNamed) {
  Configure("[ip#1]\nipdev = eth0\n");
  EXPECT_THAT(Driver("ip#1")->Start(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ip#1.ipname")));
  Configure("[ip#1]\nipname = 192.0.2.10\n");
  EXPECT_THAT(Driver("ip#1")->Start(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ip#1.ipdev")));
  Configure("[ip#1]\nipname = 192.0.2.10\nipdev = vtap0@eth0\n");
  EXPECT_THAT(Driver("ip#1")->Start(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("crm.command")));
  Configure("[ip#1]\nipname = --help\nipdev = eth0\n");
  EXPECT_THAT(Driver("ip#1")->Start(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ip#1.ipname")));
  EXPECT_THAT(Journal(), IsEmpty());
}

TEST_F(HostAddressTest, ATypeThatOmcrmDoesNotHaveNamesTheSettingThatHelps) {
  Configure("[ip#1]\ntype = cni\nipname = 192.0.2.10\n");
  EXPECT_THAT(Driver("ip#1")->Start(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("crm.command")));
}

// The real program, on the loopback interface of an empty namespace.
class NamespaceAddressTest : public DriverTest {
 protected:
  void SetUp() override {
    outside_.Reset(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!outside_.valid() || unshare(CLONE_NEWNET) != 0) {
      outside_.Reset();
      GTEST_SKIP() << "no network namespace to be had: that takes root and a kernel that allows it";
    }
    Configure(
        "[ip#1]\nipname = 192.0.2.10\nipdev = lo\nnetmask = 32\ntags = nonrouted\n"
        "[ip#2]\nipname = 2001:db8::10\nipdev = lo\nnetmask = 128\ntags = nonrouted\n");
    const auto probe = RunTool(instance_, {"ip", "-j", "addr", "show"}, std::chrono::minutes(2));
    if (!probe.ok() || !probe->result.Succeeded()) GTEST_SKIP() << "there is no ip program here";
  }
  void TearDown() override {
    if (outside_.valid()) ASSERT_EQ(setns(outside_.get(), CLONE_NEWNET), 0);
  }

 private:
  UniqueFd outside_;
};

TEST_F(NamespaceAddressTest, AddressesComeAndGo) {
  for (const char* rid : {"ip#1", "ip#2"}) {
    EXPECT_EQ(StateOf(rid), Availability::kDown);
    EXPECT_THAT(Driver(rid)->Start(), IsOkAndHolds(true)) << rid;
    EXPECT_EQ(StateOf(rid), Availability::kUp) << StatusLines();
    EXPECT_THAT(Driver(rid)->Start(), IsOkAndHolds(false));
  }
  for (const char* rid : {"ip#1", "ip#2"}) {
    EXPECT_THAT(Driver(rid)->Stop(), IsOk());
    EXPECT_EQ(StateOf(rid), Availability::kDown);
    EXPECT_THAT(Driver(rid)->Stop(), IsOk());
  }
}

}  // namespace
}  // namespace om
