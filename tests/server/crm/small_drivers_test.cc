// The drivers fs.flag and task.
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/file.h"
#include "server/crm/drivers/instance_lock.h"
#include "tests/server/crm/driver_fixture.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

using FlagDriverTest = DriverTest;

TEST_F(FlagDriverTest, ItIsUpAsLongAsItsFileIsThere) {
  Configure("[fs#1]\ntype = flag\n", "ns1/svc/svc1");
  EXPECT_EQ(Driver("fs#1")->Type(), "fs.flag");
  EXPECT_EQ(StateOf("fs#1"), Availability::kDown);
  EXPECT_EQ(*Driver("fs#1")->Start(), true);
  EXPECT_EQ(StateOf("fs#1"), Availability::kUp);
  EXPECT_EQ(access(root_.File("var/shm/ns1/svc/svc1/fs#1.flag").c_str(), F_OK), 0);
  EXPECT_EQ(*Driver("fs#1")->Start(), false);
  EXPECT_THAT(Driver("fs#1")->Stop(), IsOk());
  EXPECT_EQ(StateOf("fs#1"), Availability::kDown);
  EXPECT_THAT(Driver("fs#1")->Stop(), IsOk());
  EXPECT_EQ(Driver("fs#1")->Provisioned(), std::nullopt);
}

TEST_F(FlagDriverTest, AFlagDoesNotSurviveABootNorItsUnprovisioning) {
  Configure("[fs#1]\ntype = flag\n");
  ASSERT_THAT(Driver("fs#1")->Start(), IsOk());
  EXPECT_THAT(Driver("fs#1")->Boot(), IsOk());
  EXPECT_EQ(StateOf("fs#1"), Availability::kDown);
  ASSERT_THAT(Driver("fs#1")->Start(), IsOk());
  EXPECT_THAT(Driver("fs#1")->Unprovision(), IsOk());
  EXPECT_EQ(StateOf("fs#1"), Availability::kDown);
}

class TaskDriverTest : public DriverTest {
 protected:
  std::string Stamp(const std::string& name) {
    return root_.Read(absl::StrCat("var/svc/svc1/scheduler/last_task#1", name));
  }
  bool HasStamp(const std::string& name) {
    return access(root_.File(absl::StrCat("var/svc/svc1/scheduler/last_task#1", name)).c_str(),
                  F_OK) == 0;
  }
};

TEST_F(TaskDriverTest, ARunLogsItsOutputAndStampsItsSuccess) {
  Configure("[task#1]\ncommand = /bin/sh -c \"echo $OPENSVC_RID $A\"\nenvironment = a=b\n");
  EXPECT_THAT(Driver("task#1")->Run(), IsOk());
  EXPECT_THAT(Log(), HasSubstr("task#1 - INFO - | task#1 b\n"));
  const char kTime[] = "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}\n";
  EXPECT_THAT(Stamp(""), MatchesRegex(kTime));
  EXPECT_THAT(Stamp(".success"), MatchesRegex(kTime));
  EXPECT_EQ(StateOf("task#1"), Availability::kNa);
  EXPECT_EQ(Driver("task#1")->Provisioned(), true);
}

TEST_F(TaskDriverTest, AFailedRunRunsOnErrorAndIsAnError) {
  Configure("[task#1]\ncommand = /bin/sh -c \"exit 3\"\non_error = /bin/echo sorry\n");
  EXPECT_THAT(Driver("task#1")->Run(),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("exit code 3")));
  EXPECT_THAT(Log(), HasSubstr("| sorry\n"));
  EXPECT_TRUE(HasStamp(""));
  EXPECT_FALSE(HasStamp(".success"));
}

TEST_F(TaskDriverTest, ARunThatHangsEndsAtItsTimeout) {
  Configure("[task#1]\ncommand = /bin/sleep 1000\ntimeout = 1\n");
  EXPECT_THAT(Driver("task#1")->Run(), StatusIs(absl::StatusCode::kAborted, HasSubstr("timeout")));
}

TEST_F(TaskDriverTest, ASecondRunAtATimeIsAnError) {
  Configure("[task#1]\ncommand = /bin/echo ran\n");
  auto lock = InstanceLock::Acquire(root_.File("var/svc/svc1/task#1/run.lock"), "run",
                                    std::chrono::seconds(1), &interrupt_);
  ASSERT_THAT(lock, IsOk());
  EXPECT_THAT(Driver("task#1")->Run(),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("it runs already")));
  EXPECT_FALSE(HasStamp(""));
}

// The command line is logged, so what it writes must differ from it.
TEST_F(TaskDriverTest, OutputIsNotLoggedWhereThatIsSwitchedOff) {
  Configure("[task#1]\ncommand = /bin/sh -c \"printf %s%s a 2b\"\nlog = false\n");
  EXPECT_THAT(Driver("task#1")->Run(), IsOk());
  EXPECT_THAT(Log(), Not(HasSubstr("a2b")));
}

TEST_F(TaskDriverTest, WithoutCommandItCannotRun) {
  Configure("[task#1]\nschedule = @1\n");
  EXPECT_THAT(Driver("task#1")->Run(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("task#1.command")));
}

TEST_F(TaskDriverTest, OtherResourcesAreNoTasks) {
  Configure("[fs#1]\ntype = flag\n");
  EXPECT_THAT(Driver("fs#1")->Run(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("fs.flag")));
}

}  // namespace
}  // namespace om
