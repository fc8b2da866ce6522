#include <google/protobuf/stubs/logging.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "client/omctl/omctl.h"
#include "server/base/random.h"

namespace {

// Colours are for terminals whose user has not asked to be spared (https://no-color.org).
bool WantsColour() {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return isatty(STDOUT_FILENO) == 1 && (no_colour == nullptr || *no_colour == '\0') &&
         terminal != nullptr && absl::string_view(terminal) != "dumb";
}

}  // namespace

int main(int argc, char** argv) {
  // The libraries' own messages repeat what errors say; whoever wants gRPC's sets this variable.
  google::protobuf::SetLogHandler(nullptr);
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  om::SystemRandom random;
  om::OmctlEnvironment environment;
  environment.out = &std::cout;
  environment.err = &std::cerr;
  environment.random = &random;
  environment.colour = WantsColour();
  environment.zone = absl::LocalTimeZone();
  environment.version = OM_VERSION;
  const int status = om::RunOmctl(std::vector<std::string>(argv + 1, argv + argc), environment);
  std::cout.flush();
  if (!std::cout) {
    std::cerr << "omctl: cannot write the output\n";
    return om::kExitError;
  }
  return status;
}
