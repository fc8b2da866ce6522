#include "client/omctl/omctl.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/errors.h"
#include "client/object_path.h"
#include "client/omctl/arguments.h"
#include "client/omctl/commands.h"

namespace om {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

// How long a connection may take where refusals come at once.
constexpr seconds kConnectLimit{5};

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Somebody looks at what follows: a daemon that is back shall not wait for us.
constexpr seconds kLongestRetryDelay{2};

// nullptr if there is none of that name.
const CLI::App* FindCommand(const CLI::App& parent, const std::string& name) {
  for (const CLI::App* command : parent.get_subcommands({})) {
    if (command->get_name() == name) return command;
  }
  return nullptr;
}

const CLI::Validator kDuration(
    [](std::string& text) {
      const absl::StatusOr<absl::Duration> duration = ParseDurationArgument(text);
      return duration.ok() ? std::string() : std::string(duration.status().message());
    },
    "");

// The parser takes the word after `--value=` for its value; here it means the empty one.
std::vector<std::string> SplitEmptyValues(const std::vector<std::string>& words) {
  std::vector<std::string> result;
  for (const std::string& word : words) {
    const bool is_value =
        !result.empty() && (result.back() == "--param" || result.back() == "--value");
    if (word == "--value=" && !is_value) {
      result.insert(result.end(), {"--value", ""});
    } else {
      result.push_back(word);
    }
  }
  return result;
}

}  // namespace

// --- The grammar -------------------------------------------------------------------------------

CLI::App* Omctl::Define(CLI::App* parent, const char* name, const char* purpose, Command command) {
  CLI::App* app = parent->add_subcommand(name, purpose);
  app->fallthrough();
  app->callback([this, command = std::move(command)] { command_ = command; });
  return app;
}

CLI::App* Group(CLI::App* parent, const char* name, const char* purpose, const char* footer) {
  CLI::App* app = parent->add_subcommand(name, purpose);
  app->fallthrough();
  app->require_subcommand(1);
  app->footer(footer);
  return app;
}

void Omctl::DefineAll() {
  app_.name("omctl");
  app_.require_subcommand(1);
  app_.fallthrough();
  app_.set_help_flag("-h,--help", "Show the help of a command and end");
  if (!env_.version.empty()) app_.set_version_flag("--version", "omctl " + env_.version);
  app_.add_option("--root", args_.root,
                  "Installation to talk to: the socket is DIR/var/lsnr/grpc.sock "
                  "(default: /var/lib/opensvc/lsnr/grpc.sock)")
      ->type_name("DIR");
  DefineConnection();
  app_.add_option("-o,--output", args_.output, "table, or json: the answer as one JSON document")
      ->type_name("FORM")
      ->check(CLI::IsMember({"table", "json"}));
  app_.add_flag("--json", args_.json, "The same as --output json");
  app_.add_option("--timeout", args_.timeout,
                  "Give up after that long, exit status 4: seconds, or such as 90s, 5m, 1h30m "
                  "(default: 30 s; 60 s to start or stop the daemon and for 'wait', 300 s with "
                  "--wait, none for what follows and for actions)")
      ->type_name("DURATION")
      ->check(kDuration);
  app_.add_option("--connect-timeout", args_.connect_timeout,
                  "Keep trying to connect that long (default: the first refusal is final)")
      ->type_name("DURATION")
      ->check(kDuration);
  app_.footer(
      "Examples:\n"
      "  omctl daemon status                       what runs where\n"
      "  omctl daemon status -o json | jq .nodes   the same for programs\n"
      "  omctl web start --wait                    start the service web, wait until it is up\n"
      "  omctl node set --param listener.port --value 1215\n"
      "  omctl daemon watch                        every change as it happens\n"
      "  omctl web sync_all                        run an action here, see its output\n"
      "  omctl web action start --rid app#1        the same for one named like an order\n"
      "  omctl web logs --follow --level warning   the service's log as it grows\n"
      "  omctl events --id 'instance_*'            what happens, as it happens\n"
      "  omctl web wait avail=up --timeout 5m      end once it is so\n"
      "\n"
      "The first word is a command, or else the path of a service: web, ns1/svc/web. Services\n"
      "named like a command are reached as svc/<name>.\n"
      "\n"
      "Exit status: 0 done, 1 the answer was an error, 2 wrong usage, 3 no connection to a\n"
      "daemon, 4 deadline passed. 'omctl <svc> status' and actions have their own: see their "
      "help.");
  DefineDaemon();
  DefineBlacklist();
  DefineNode();
  CLI::App* cluster = Group(&app_, "cluster", "Reads and changes cluster.conf; joins nodes",
                            "Examples:\n"
                            "  omctl cluster join node3\n"
                            "  omctl cluster get --param cluster.name\n"
                            "  omctl cluster set --param cluster.nodes --value 'n1 n2'");
  DefineKeywords(cluster, "cluster", "omctl cluster");
  DefineMembership(cluster);
  DefineConfig();
  DefineHealth();
  DefineOrder();
  DefineActions();
  DefineEvents();
  DefineWait(&app_);
  DefineCreate(&app_);
  DefinePki();
  DefineAuth();
  DefineService();
}

void Omctl::DefineConnection() {
  app_.add_option("--server", args_.server,
                  "Talk over TCP instead (or OMCTL_SERVER, without --root): in the clear on "
                  "loopback addresses, as a guest or with a token; elsewhere with --tls-ca")
      ->type_name("HOST:PORT")
      ->excludes("--root");
  app_.add_option("--tls-ca", args_.security.authority,
                  "With --server: talk TLS to a server whose certificate is from this authority")
      ->type_name("FILE")
      ->envname("OMCTL_TLS_CA");
  app_.add_option("--tls-cert", args_.security.certificate, "Our certificate, of a user or node")
      ->type_name("FILE")
      ->envname("OMCTL_TLS_CERT");
  app_.add_option("--tls-key", args_.security.key, "Its key")
      ->type_name("FILE")
      ->envname("OMCTL_TLS_KEY");
  app_.add_option("--tls-server-name", args_.security.server_name,
                  "Name that the server's certificate must have (default: HOST)")
      ->type_name("NAME")
      ->envname("OMCTL_TLS_SERVER_NAME");
  CLI::Option* token = app_.add_option("--token", args_.security.token,
                                       "Bearer token to show; others on this machine can read "
                                       "command lines: rather use OMCTL_TOKEN or a file")
                           ->type_name("TOKEN");
  app_.add_option("--token-file", args_.security.token_file, "File with the token to show")
      ->type_name("FILE")
      ->excludes(token);
}

// Index of the first word from `from` on that is neither an option of the whole, or of `also`, nor
// the value of one. `--` counts as a word.
size_t Omctl::NextWord(const std::vector<std::string>& words, size_t from,
                       const CLI::App* also) const {
  size_t i = from;
  for (; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!absl::StartsWith(word, "-") || word == "--") break;
    if (word.find('=') != std::string::npos) continue;
    const CLI::Option* option = app_.get_option_no_throw(word);
    if (option == nullptr && also != nullptr) option = also->get_option_no_throw(word);
    if (option != nullptr && option->get_items_expected_max() > 0) ++i;  // Its value.
  }
  return std::min(i, words.size());
}

// A first word that is no command and can be an object is put under `<svc>`.
std::vector<std::string> Omctl::FileServiceCommand(std::vector<std::string> words) {
  const size_t first = NextWord(words, 0, nullptr);
  if (first == words.size() || words[first] == "--") return words;
  std::string& word = words[first];
  if (word != kServiceWord && FindCommand(app_, word) != nullptr) {
    return word == "node" ? CutAction(std::move(words), first) : words;
  }
  const absl::StatusOr<std::string> path = CanonicalObjectPath(word);
  if (!path.ok()) {
    usage_error_ =
        absl::StrCat("'", Printable(word),
                     "' is no command and no service: ", Printable(path.status().message()));
    return words;
  }
  args_.path = *path;
  word = kServiceWord;
  return CutAction(std::move(words), first);
}

// Takes the words of an action out: whatever they look like, they are not for the parser.
std::vector<std::string> Omctl::CutAction(std::vector<std::string> words, size_t group) {
  const CLI::App* parent = FindCommand(app_, words[group]);
  const CLI::App* action = FindCommand(*parent, kActionWord);
  size_t next = NextWord(words, group + 1, action);
  if (next == words.size()) return words;
  if (words[next] == kActionWord) {
    next = NextWord(words, next + 1, action);
  } else {
    // An action that is none of our commands needs no word before it; of the node's, `--`.
    const bool own = FindCommand(*parent, words[next]) != nullptr;
    const bool spelt = words[next] == "--";
    if (own || (words[group] != kServiceWord && !spelt)) return words;
    words.insert(words.begin() + static_cast<ptrdiff_t>(group) + 1, kActionWord);
    ++next;
  }
  const auto end = words.begin() + static_cast<ptrdiff_t>(next);
  auto begin = end;
  if (begin != words.end() && *begin == "--") ++begin;
  args_.action_words.assign(begin, words.end());
  words.erase(end, words.end());
  return words;
}

int Omctl::Run(std::vector<std::string> words) {
  DefineAll();
  words = SplitEmptyValues(FileServiceCommand(std::move(words)));
  std::reverse(words.begin(), words.end());  // As the parser takes them.
  try {
    app_.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app_.exit(error, *env_.out, *env_.err);  // Help.
    if (usage_error_.empty()) usage_error_ = absl::StrCat(error.what(), OrderHint());
    return UsageError();
  }
  if (!usage_error_.empty()) return UsageError();
  Outcome outcome = command_();
  if (outcome.failure.has_value()) {
    *env_.err << (json() ? outcome.failure->json + "\n" : "omctl: " + outcome.failure->text);
  }
  return outcome.exit_status;
}

// Orders and actions share words, and only actions take whatever options there are.
std::string Omctl::OrderHint() const {
  const CLI::App* service = FindCommand(app_, kServiceWord);
  if (!service->parsed()) return "";
  for (const OrderWord& order : OrderWords()) {
    if (!FindCommand(*service, order.word)->parsed()) continue;
    return absl::StrCat("\n'omctl ", args_.path, " ", order.word,
                        "' is an order for the service; 'omctl ", args_.path, " action ",
                        order.word, " ...' runs the action here, with its own options.");
  }
  return "";
}

int Omctl::UsageError() {
  *env_.err << "omctl: " << usage_error_ << "\n'omctl --help' shows the commands, 'omctl <command> "
            << "--help' explains one.\n";
  return kExitUsage;
}

// --- Helpers -----------------------------------------------------------------------------------

void Omctl::UseLimit(seconds limit) {
  const auto now = std::chrono::steady_clock::now();
  if (!args_.timeout.empty()) {
    // The parser has checked it.
    deadline_ = now + absl::ToChronoMilliseconds(*ParseDurationArgument(args_.timeout));
  } else {
    deadline_ = limit == seconds::max() ? MonotonicTime::max() : now + limit;
  }
}

StreamLoop::Options Omctl::RetryOptions() {
  StreamLoop::Options options;
  options.longest_delay = kLongestRetryDelay;
  env_.random->Fill(&options.jitter_seed, sizeof(options.jitter_seed));
  return options;
}

Failure Omctl::StreamFailure(const absl::Status& end, const grpc::Status& status) const {
  if (end.code() == absl::StatusCode::kDeadlineExceeded) return LocalFailure(kExitDeadline, end);
  if (!status.ok() && end.code() == static_cast<absl::StatusCode>(status.error_code())) {
    return FailureOf(status);
  }
  return LocalFailure(end.code() == absl::StatusCode::kUnavailable ? kExitNoConnection : kExitError,
                      end);
}

void Omctl::TellReconnect(const absl::Status& why, milliseconds delay) {
  *env_.err << absl::StrFormat("omctl: the stream ended (%s), trying again in %.1f s\n",
                               Printable(why.message()),
                               static_cast<double>(delay.count()) / 1000.0);
}

std::optional<Failure> Omctl::Connect() {
  if (deadline_ == MonotonicTime::max()) UseLimit(kCallLimit);
  SecurityFiles files = args_.security;
  std::string server = args_.server;
  if (server.empty() && args_.root.empty()) server = FromEnvironment("OMCTL_SERVER");
  // They have no place on the Unix socket, where the environment may name them all the same.
  if (server.empty()) {
    files.authority.clear();
    files.certificate.clear();
    files.key.clear();
  }
  // A token of the command line is the one that is meant.
  if (files.token.empty() && files.token_file.empty()) {
    files.token = FromEnvironment("OMCTL_TOKEN");
    if (files.token.empty()) files.token_file = FromEnvironment("OMCTL_TOKEN_FILE");
  }
  const absl::StatusOr<ClientSecurity> security = LoadClientSecurity(files);
  if (!security.ok()) return LocalFailure(kExitUsage, security.status());
  absl::StatusOr<Endpoint> endpoint =
      server.empty() ? UnixEndpoint(args_.root, *security) : TcpEndpoint(server, *security);
  if (!endpoint.ok()) return LocalFailure(kExitUsage, endpoint.status());
  connection_ = std::make_unique<Connection>(*std::move(endpoint));
  const auto now = std::chrono::steady_clock::now();
  const bool patient = !args_.connect_timeout.empty();
  const auto limit = patient
                         ? absl::ToChronoMilliseconds(*ParseDurationArgument(args_.connect_timeout))
                         : milliseconds(kConnectLimit);
  const absl::Status ready = connection_->WaitReady(
      std::min(deadline_, now + limit),
      patient ? Connection::Patience::kUntilDeadline : Connection::Patience::kUntilRefused);
  if (!ready.ok()) return LocalFailure(kExitNoConnection, ready);
  return std::nullopt;
}

int Omctl::Print(const google::protobuf::Message& message, const std::string& text) {
  out() << (json() ? ToJson(message, /*pretty=*/true) + "\n" : text);
  return kExitDone;
}

int RunOmctl(const std::vector<std::string>& arguments, const OmctlEnvironment& environment) {
  return Omctl(environment).Run(arguments);
}

}  // namespace om
