// The tests' program: as omcrm does, it becomes another program when it is started for that.
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "server/crm/drivers/program.h"

int main(int argc, char** argv) {
  if (argc > 1 && absl::string_view(argv[1]) == "--launch") return om::LaunchMain(argc, argv);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
