#include "server/service/config_policy.h"

#include <optional>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/status.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::HasSubstr;

Caller User(const std::string& grants) {
  Caller caller;
  caller.kind = Caller::Kind::kUser;
  caller.name = "alice";
  caller.grants = Grants::Parse(grants).value();
  return caller;
}

class ConfigPolicyTest : public ::testing::Test {
 protected:
  ConfigPolicyTest() {
    proposal_.path = *ObjectPath::Parse("web/svc/a");
    proposal_.local_node = "n1";
    proposal_.roots = Roots::Under("/nowhere");
    proposal_.cluster.name = "demo";
    proposal_.cluster.nodes = {"n1", "n2"};
  }
  absl::Status Check(const std::string& text, const std::string& grants = "admin:web") {
    const Document after = Document::Parse(text, "a.conf").value();
    proposal_.after = &after;
    absl::Status verdict = CheckConfigPolicy(User(grants), proposal_);
    proposal_.after = nullptr;
    return verdict;
  }
  absl::Status CheckEdit(const std::string& before, const std::string& after,
                         const std::string& grants = "admin:web") {
    const Document parsed = Document::Parse(before, "a.conf").value();
    proposal_.before = &parsed;
    absl::Status verdict = Check(after, grants);
    proposal_.before = nullptr;
    return verdict;
  }
  void ExpectAllowed(const std::string& text) { EXPECT_THAT(Check(text), IsOk()) << text; }
  void ExpectRefused(const std::string& text, const std::string& field) {
    const absl::Status verdict = Check(text);
    EXPECT_THAT(verdict, StatusIs(absl::StatusCode::kPermissionDenied)) << text;
    EXPECT_EQ(ReasonOf(verdict), "CONFIG_NOT_ALLOWED") << text << verdict;
    EXPECT_EQ(FieldOf(verdict), field) << text << verdict;
  }

  ConfigProposal proposal_;
};

constexpr char kContainer[] = "[container#1]\ntype = docker\nimage = nginx\n";

TEST_F(ConfigPolicyTest, RootMayPutEverythingAnywhere) {
  EXPECT_THAT(Check("[app#1]\nstart = /bin/true\n[DEFAULT]\nmonitor_action = crash\n", "root"),
              IsOk());
  proposal_.path = *ObjectPath::Parse("web/vol/a");
  EXPECT_THAT(Check("", "root"), IsOk());
}

TEST_F(ConfigPolicyTest, AServiceOfContainersIsAdmins) {
  ExpectAllowed("");
  ExpectAllowed(
      "[DEFAULT]\nnodes = n1 n2\norchestrate = ha\nmonitor_action = freezestop\ncomment = x\n"
      "[env]\npre_start = /bin/sh\n[subset#container:g]\nparallel = true\n"
      "[container#0]\ntype = docker\nimage = pause\nnetns = none\nrm = true\n"
      "[container#1]\ntype = podman\nimage = nginx\nnetns = container#0\nprivileged = false\n"
      "volume_mounts = data/www:/www:ro /etc/localtime:/etc/localtime:ro\nrestart = 2\n"
      "[ip#1]\ntype = cni\nnetns = container#0\nnetwork = default\n"
      "[task#1]\ntype = docker\nimage = busybox\ncommand = true\nschedule = @10\n"
      "[volume#1]\nname = data\nsize = 1g\nconfigs = web/*:/etc\n"
      "[sync#i0]\nschedule = @60\n");
}

TEST_F(ConfigPolicyTest, KindsVolAndCcfgAreRoots) {
  for (const char* path : {"web/vol/a", "cluster"}) {
    proposal_.path = *ObjectPath::Parse(path);
    const absl::Status verdict = Check("", "admin:* squatter");
    EXPECT_EQ(ReasonOf(verdict), "CONFIG_NOT_ALLOWED") << path;
  }
}

TEST_F(ConfigPolicyTest, ExistingNamespacesNeedAdminNewOnesSquatterAndSystemRoot) {
  EXPECT_EQ(ReasonOf(Check("", "operator:web squatter")), "ROLE_MISSING");
  EXPECT_EQ(ReasonOf(Check("", "admin:db")), "ROLE_MISSING");
  proposal_.new_namespace = true;
  EXPECT_EQ(ReasonOf(Check("", "admin:web")), "ROLE_MISSING");
  EXPECT_THAT(Check("", "squatter"), IsOk());
  proposal_.path = *ObjectPath::Parse("system/cfg/a");
  EXPECT_EQ(ReasonOf(Check("", "admin:* squatter")), "ROLE_MISSING");
  proposal_.new_namespace = false;
  EXPECT_THAT(Check("", "admin:system"), IsOk());
}

TEST_F(ConfigPolicyTest, ResourcesOfTheHostAreRoots) {
  for (const char* section : {"disk#1", "fs#1", "app#1", "share#1", "sync#1", "sync#i1", "fs",
                              "unknown#1", "other", "default", "App#1", "sync#i0x"}) {
    ExpectRefused("[" + std::string(section) + "]\ndisable = true\n", section);
  }
  ExpectRefused("[sync#i0]\nsrc = /etc\n", "sync#i0.src");
}

TEST_F(ConfigPolicyTest, OnlySomeTypesOfContainersTasksAndAddressesAreForOthers) {
  ExpectRefused("[container#1]\ntype = lxc\n", "container#1.type");
  ExpectRefused("[container#1]\nimage = nginx\n", "container#1.type");
  ExpectRefused("[container#1]\ntype@n1 = docker\n", "container#1.type");
  ExpectRefused("[container#1]\ntype = docker\ntype@n2 = kvm\n", "container#1.type@n2");
  ExpectRefused("[task#1]\ncommand = /bin/true\n", "task#1.type");
  ExpectRefused("[task#1]\ntype = host\n", "task#1.type");
  ExpectRefused("[ip#1]\ntype = cni\n", "ip#1.netns");
  ExpectRefused("[ip#1]\ntype = cni\nnetns =\n", "ip#1.netns");
  ExpectRefused("[ip#1]\ntype = cni\nnetns = host\n", "ip#1.netns");
  ExpectRefused("[ip#1]\ntype = host\nnetns = container#0\n", "ip#1.type");
  ExpectRefused("[ip#1]\nnetns = container#0\n", "ip#1.type");
}

TEST_F(ConfigPolicyTest, TriggersAreRootsWhereverTheyStand) {
  for (const char* key : {"pre_start", "post_stop", "blocking_pre_start", "start_trigger",
                          "blocking_post_run", "pre_monitor_action", "trigger"}) {
    for (const char* section : {"DEFAULT", "volume#1", "subset#x"}) {
      ExpectRefused("[" + std::string(section) + "]\n" + key + " = /bin/true\n",
                    std::string(section) + "." + key);
    }
    ExpectRefused(kContainer + std::string(key) + "@nodes = x\n",
                  "container#1." + std::string(key) + "@nodes");
  }
  ExpectRefused("[task#1]\ntype = docker\non_error = /bin/true\n", "task#1.on_error");
}

TEST_F(ConfigPolicyTest, ContainersHaveNothingOfTheHost) {
  for (const char* line : {"privileged = true",
                           "privileged = yes",
                           "privileged = maybe",
                           "netns = host",
                           "netns = HOST",
                           "net = host",
                           "pidns = host",
                           "netns = container:other",
                           "netns = ns:/proc/1/ns/net",
                           "userns = host",
                           "volume_mounts = /:/host",
                           "volume_mounts = data:/x /etc/shadow:/y:ro",
                           "volume_mounts = data/../..:/x",
                           "volume_mounts = '/etc':/x",
                           "volume_mounts = /usr/share/zoneinfo/../../../etc:/x",
                           "devices = /dev/sda:/dev/sda",
                           "run_args = --privileged",
                           "name = other",
                           "volume_mounts = {unknown}:/x",
                           "whatever = 1"}) {
    const std::string key = std::string(line).substr(0, std::string(line).find(' '));
    ExpectRefused(kContainer + std::string(line) + "\n", "container#1." + key);
    ExpectRefused(kContainer + key + "@n2" + std::string(line).substr(key.size()) + "\n",
                  "container#1." + key + "@n2");
  }
  ExpectRefused("[DEFAULT]\nprivileged = true\n", "DEFAULT.privileged");
  ExpectRefused("[DEFAULT]\ndocker_data_dir = /var/lib/docker\n", "DEFAULT.docker_data_dir");
  ExpectAllowed("[DEFAULT]\ndocker_data_dir = data/docker\n");
  ExpectRefused("[DEFAULT]\ndockerd_exe = /tmp/x\n", "DEFAULT.dockerd_exe");
  ExpectRefused("[volume#1]\nname = v\nconfigs = c/k:/../../etc/passwd\n", "volume#1.configs");
}

TEST_F(ConfigPolicyTest, ValuesAreJudgedAsEveryNodeEvaluatesThem) {
  // What n2 makes of it is what counts, though it is read on n1.
  ExpectRefused(
      "[env]\nmode = none\nmode@n2 = host\n[container#1]\ntype = docker\nnetns = {env.mode}\n",
      "container#1.netns");
  ExpectAllowed(
      "[env]\nmode = none\nmode@n2 = bridge\n[container#1]\ntype = docker\nnetns = {env.mode}\n");
  ExpectRefused("[env]\nyes@n9 = true\n[DEFAULT]\nnodes = n1 n9\n" + std::string(kContainer) +
                    "privileged = {env.yes}\n",
                "container#1.privileged");
  ExpectRefused("[env]\na = ho\nb = st\n[container#1]\ntype = docker\nnetns = {env.a}{env.b}\n",
                "container#1.netns");
}

TEST_F(ConfigPolicyTest, MonitorActionsThatTakeTheNodeDownAreRoots) {
  ExpectAllowed("[DEFAULT]\nmonitor_action = switch\n");
  for (const char* action : {"reboot", "crash", "freezestop reboot"}) {
    ExpectRefused("[DEFAULT]\nmonitor_action = " + std::string(action) + "\n",
                  "DEFAULT.monitor_action");
  }
}

TEST_F(ConfigPolicyTest, NobodyGrantsWhatHeDoesNotHold) {
  proposal_.path = *ObjectPath::Parse("system/usr/bob");
  const auto check = [this](const std::string& grant) {
    return Check("[DEFAULT]\ngrant = " + grant + "\n", "admin:system,web squatter");
  };
  EXPECT_THAT(check("guest:web squatter"), IsOk());
  EXPECT_THAT(check("admin:web operator:system"), IsOk());
  for (const char* more : {"root", "admin:db", "guest:*", "admin:web,db", "blacklistadmin",
                           "admin:web guest:d*", "{nowhere}"}) {
    EXPECT_EQ(ReasonOf(check(more)), "CONFIG_NOT_ALLOWED") << more;
    EXPECT_EQ(FieldOf(check(more)), "DEFAULT.grant") << more;
  }
  // Nor behind an expression that makes something else of it.
  EXPECT_EQ(ReasonOf(check("$(0 == root )")), "CONFIG_NOT_ALLOWED");
  EXPECT_EQ(ReasonOf(Check("[DEFAULT]\ngrant = guest:web\ngrant@n2 = root\n", "admin:system,web")),
            "CONFIG_NOT_ALLOWED");
}

TEST_F(ConfigPolicyTest, TheNameOnACertificateStays) {
  proposal_.path = *ObjectPath::Parse("system/usr/bob");
  const std::string grants = "admin:system";
  EXPECT_THAT(CheckEdit("[DEFAULT]\ncn = bob\n", "[DEFAULT]\ncn = bob\nx = 1\n", grants), IsOk());
  for (const char* after :
       {"[DEFAULT]\ncn = root\n", "[DEFAULT]\n", "[DEFAULT]\ncn = bob\ncn@n1 = root\n"}) {
    const absl::Status verdict = CheckEdit("[DEFAULT]\ncn = bob\n", after, grants);
    EXPECT_EQ(ReasonOf(verdict), "CONFIG_NOT_ALLOWED") << after;
    EXPECT_EQ(FieldOf(verdict), "DEFAULT.cn");
  }
  // Neither through what it refers to.
  EXPECT_EQ(ReasonOf(CheckEdit("[DEFAULT]\ncn = {env.n}\n[env]\nn = bob\n",
                               "[DEFAULT]\ncn = {env.n}\n[env]\nn = root\n", grants)),
            "CONFIG_NOT_ALLOWED");
  EXPECT_EQ(ReasonOf(Check("[DEFAULT]\ncn = root\n", grants)), "CONFIG_NOT_ALLOWED");
}

TEST_F(ConfigPolicyTest, PrioritiesAreThePrioritizers) {
  EXPECT_EQ(FieldOf(Check("[DEFAULT]\npriority = 1\n")), "DEFAULT.priority");
  EXPECT_THAT(Check("[DEFAULT]\npriority = 1\n", "admin:web prioritizer"), IsOk());
  // One that is there stands in nobody's way.
  EXPECT_THAT(CheckEdit("[DEFAULT]\npriority = 1\n", "[DEFAULT]\npriority = 1\ncomment = x\n"),
              IsOk());
  EXPECT_EQ(FieldOf(CheckEdit("[DEFAULT]\npriority = 1\n", "[DEFAULT]\n")), "DEFAULT.priority");
}

TEST_F(ConfigPolicyTest, AnEditKeepsTheId) {
  EXPECT_THAT(CheckEdit("[DEFAULT]\nid = 1\n", "[DEFAULT]\nid = 1\n"), IsOk());
  EXPECT_EQ(FieldOf(CheckEdit("[DEFAULT]\nid = 1\n", "[DEFAULT]\nid = 2\n")), "DEFAULT.id");
  proposal_.is_creation = true;
  EXPECT_THAT(CheckEdit("[DEFAULT]\nid = 1\n", "[DEFAULT]\nid = 2\n"), IsOk());
}

TEST_F(ConfigPolicyTest, SlavesAreOfNamespacesThatTheCallerAdministers) {
  ExpectAllowed("[DEFAULT]\nslaves = b web/svc/c\n");
  ExpectRefused("[DEFAULT]\nslaves = b db/svc/c\n", "DEFAULT.slaves");
  EXPECT_THAT(Check("[DEFAULT]\nslaves = db/svc/c\n", "admin:web,db"), IsOk());
}

TEST_F(ConfigPolicyTest, TheWholeOfTheResultIsJudgedWhateverHasChanged) {
  const std::string roots = "[app#1]\nstart = /bin/true\n";
  EXPECT_EQ(ReasonOf(CheckEdit(roots, roots + "[DEFAULT]\ncomment = x\n")), "CONFIG_NOT_ALLOWED");
}

TEST_F(ConfigPolicyTest, ARefusalNamesObjectKeywordValueAndExpectation) {
  EXPECT_THAT(std::string(Check(kContainer + std::string("netns = host\n")).message()),
              ::testing::AllOf(HasSubstr("web/svc/a"), HasSubstr("container#1.netns"),
                               HasSubstr("host"), HasSubstr("expected")));
}

TEST_F(ConfigPolicyTest, TheWorkIsBounded) {
  std::string many = "[DEFAULT]\n";
  for (int i = 0; i < 300; ++i) many += "comment@m" + std::to_string(i) + " = x\n";
  EXPECT_EQ(ReasonOf(Check(many)), "CONFIG_NOT_ALLOWED");
}

}  // namespace
}  // namespace om
