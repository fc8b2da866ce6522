// ip of type host: an address on an interface of the host, through the host's own `ip` command.
#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <bitset>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/base/json.h"
#include "server/base/status.h"
#include "server/crm/drivers/driver.h"
#include "server/crm/drivers/execution.h"

namespace om {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kToolLimit(10'000);
constexpr milliseconds kResolveLimit(10'000);
// Two questions, a second for each answer, and some time for the program itself.
constexpr milliseconds kPingLimit(10'000);
// The kernel takes a second or two to find out whether somebody else has an IPv6 address.
constexpr milliseconds kDetectionLimit(10'000);
constexpr milliseconds kPoll(100);

bool HasTag(const ResourceSettings& resource, absl::string_view tag) {
  return std::find(resource.tags.begin(), resource.tags.end(), tag) != resource.tags.end();
}

// An address in the form that `ip` writes.
struct Address {
  int family = AF_INET;
  std::array<uint8_t, 16> bytes{};  // The first four for IPv4.
  std::string text;

  int max_prefix() const { return family == AF_INET ? 32 : 128; }
};

std::optional<Address> ParseAddress(const std::string& text) {
  Address address;
  char canonical[INET6_ADDRSTRLEN] = {};
  for (const int family : {AF_INET, AF_INET6}) {
    if (inet_pton(family, text.c_str(), address.bytes.data()) != 1) continue;
    address.family = family;
    if (inet_ntop(family, address.bytes.data(), canonical, sizeof canonical) == nullptr) continue;
    address.text = canonical;
    return address;
  }
  return std::nullopt;
}

bool SameNetwork(const Address& a, const Address& b, int prefix) {
  if (a.family != b.family) return false;
  for (int bit = 0; bit < prefix; ++bit) {
    const auto byte = static_cast<size_t>(bit / 8);
    if (((a.bytes[byte] ^ b.bytes[byte]) >> (7 - bit % 8) & 1) != 0) return false;
  }
  return true;
}

// "24", "255.255.255.0" or "64" as a number of bits.
absl::StatusOr<int> ParseNetmask(const std::string& text, int max_prefix) {
  int prefix = 0;
  if (absl::SimpleAtoi(text, &prefix) && prefix >= 0 && prefix <= max_prefix) return prefix;
  in_addr mask = {};
  if (max_prefix == 32 && inet_pton(AF_INET, text.c_str(), &mask) == 1) {
    const uint32_t bits = ntohl(mask.s_addr);
    const auto ones = static_cast<int>(std::bitset<32>(bits).count());
    const uint32_t straight = ones == 0 ? 0 : ~uint32_t{0} << (32 - ones);
    if (bits == straight) return ones;
  }
  return absl::InvalidArgumentError(absl::StrCat("expected a number of bits up to ", max_prefix,
                                                 max_prefix == 32 ? " or a dotted mask" : "",
                                                 ", found \"", text, "\""));
}

// What `ip -j addr` says of one address of an interface.
struct Plumbed {
  Address address;
  int prefix = 0;
  bool tentative = false;
  bool duplicate = false;  // Somebody else answered for it.
};
struct Interface {
  std::string name;
  bool up = false;
  bool carrier = true;
  std::vector<Plumbed> addresses;
};

std::string ValueOf(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : "";
}

bool Flagged(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_boolean() && it->get<bool>();
}

absl::StatusOr<std::vector<Interface>> ParseInterfaces(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(text, 16));
  const absl::Status odd = absl::InternalError("expected a list of interfaces from ip -j addr");
  if (!json.is_array()) return odd;
  std::vector<Interface> interfaces;
  for (const Json& entry : json) {
    // Some versions write an empty object for what they were not asked for.
    if (!entry.is_object() || ValueOf(entry, "ifname").empty()) continue;
    Interface interface;
    interface.name = ValueOf(entry, "ifname");
    if (const auto flags = entry.find("flags"); flags != entry.end() && flags->is_array()) {
      for (const Json& flag : *flags) {
        if (flag == "UP") interface.up = true;
        if (flag == "NO-CARRIER") interface.carrier = false;
      }
    }
    if (const auto list = entry.find("addr_info"); list != entry.end() && list->is_array()) {
      for (const Json& info : *list) {
        if (!info.is_object()) continue;
        const std::optional<Address> address = ParseAddress(ValueOf(info, "local"));
        const auto prefix = info.find("prefixlen");
        if (!address.has_value() || prefix == info.end() || !prefix->is_number_integer()) continue;
        interface.addresses.push_back(
            {*address, prefix->get<int>(), Flagged(info, "tentative"), Flagged(info, "dadfailed")});
      }
    }
    interfaces.push_back(std::move(interface));
  }
  return interfaces;
}

// Where an address is.
struct Found {
  const Interface* interface = nullptr;
  const Plumbed* plumbed = nullptr;
};
std::optional<Found> Find(const std::vector<Interface>& interfaces, const Address& address) {
  for (const Interface& interface : interfaces) {
    for (const Plumbed& plumbed : interface.addresses) {
      if (plumbed.address.text == address.text) return Found{&interface, &plumbed};
    }
  }
  return std::nullopt;
}
const Interface* FindInterface(const std::vector<Interface>& interfaces, absl::string_view name) {
  for (const Interface& interface : interfaces) {
    if (interface.name == name) return &interface;
  }
  return nullptr;
}

class HostAddress final : public ResourceDriver {
 public:
  using ResourceDriver::ResourceDriver;
  std::string Type() const override { return "ip.host"; }

  // "<address>/<netmask> <device> [<name>]"
  std::string Label() const override {
    const std::string name = KeywordOr("ipname", "");
    const absl::StatusOr<Address> address = Resolve();
    const std::string text = address.ok() ? address->text : name;
    const std::string mask = KeywordOr("netmask", "");
    return absl::StrCat(text, mask.empty() ? "" : "/", mask, " ", Device().value_or(""),
                        text == name ? "" : absl::StrCat(" ", name));
  }

  absl::StatusOr<bool> Start() override {
    ASSIGN_OR_RETURN(const Address address, Resolve());
    ASSIGN_OR_RETURN(const std::string device, Device());
    ASSIGN_OR_RETURN(std::vector<Interface> interfaces, Interfaces());
    const std::optional<Found> found = Find(interfaces, address);
    if (found.has_value() && found->interface->name != device) return Misplaced(address, *found);
    if (found.has_value() && !found->plumbed->duplicate) {
      Log(InstanceLog::Level::kInfo, "already up");
      return false;
    }
    const Interface* const interface = FindInterface(interfaces, device);
    if (interface == nullptr) {
      return absl::FailedPreconditionError(
          absl::StrCat(resource().rid, ".ipdev: there is no interface \"", device, "\""));
    }
    ASSIGN_OR_RETURN(const int prefix, Prefix(address, *interface));
    if (!interface->up) {
      RETURN_IF_ERROR(Change({"ip", "link", "set", "dev", device, "up"}));
      ASSIGN_OR_RETURN(interfaces, Interfaces());
    }
    RETURN_IF_ERROR(CheckCarrier(FindInterface(interfaces, device)));
    RETURN_IF_ERROR(CheckUnused(address, device));
    std::vector<std::string> add = {"ip",  "addr", "add", absl::StrCat(address.text, "/", prefix),
                                    "dev", device};
    ASSIGN_OR_RETURN(const std::string label, AliasLabel(device));
    if (!label.empty()) add.insert(add.end(), {"label", label});
    RETURN_IF_ERROR(Change(add));
    const absl::Status usable = AwaitUsable(address, device);
    if (!usable.ok()) {
      // What was interrupted is still undone; a second signal ends that, too.
      instance().interrupt->Clear();
      const absl::Status removed = Remove(address, prefix, device);
      if (!removed.ok()) Log(InstanceLog::Level::kError, removed.message());
      return usable;
    }
    Announce(address, device);
    return true;
  }

  absl::Status Stop() override {
    ASSIGN_OR_RETURN(const Address address, Resolve());
    ASSIGN_OR_RETURN(const std::string device, Device());
    ASSIGN_OR_RETURN(const std::vector<Interface> interfaces, Interfaces());
    const std::optional<Found> found = Find(interfaces, address);
    if (!found.has_value()) {
      Log(InstanceLog::Level::kInfo, "already down");
      return absl::OkStatus();
    }
    if (found->interface->name != device) return Misplaced(address, *found);
    RETURN_IF_ERROR(Remove(address, found->plumbed->prefix, device));
    ASSIGN_OR_RETURN(const std::vector<Interface> left, Interfaces());
    if (Find(left, address).has_value()) {
      return absl::AbortedError(
          absl::StrCat("stop: address ", address.text, " was removed and is still there"));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Availability> Status(StatusLog* log) override {
    const absl::StatusOr<Address> address = Resolve();
    if (absl::IsNotFound(address.status())) {
      log->emplace_back("warn", std::string(address.status().message()));
      return Availability::kWarn;
    }
    RETURN_IF_ERROR(address.status());
    ASSIGN_OR_RETURN(const std::string device, Device());
    ASSIGN_OR_RETURN(const std::vector<Interface> interfaces, Interfaces());
    const Interface* const interface = FindInterface(interfaces, device);
    const std::optional<Found> found = Find(interfaces, *address);
    if (interface == nullptr) {
      log->emplace_back("warn", absl::StrCat("interface ", device, " not found"));
    }
    if (!found.has_value()) return Availability::kDown;
    if (found->plumbed->duplicate) {
      log->emplace_back("error", absl::StrCat("another host has ", address->text));
      return Availability::kWarn;
    }
    if (found->interface->name != device) {
      log->emplace_back(
          "warn", absl::StrCat("current dev ", found->interface->name, ", expected ", device));
    }
    const std::string mask = KeywordOr("netmask", "");
    if (!mask.empty()) {
      ASSIGN_OR_RETURN(const int prefix, ReadNetmask(mask, *address));
      if (found->plumbed->prefix != prefix) {
        log->emplace_back("warn", absl::StrCat("current netmask ", found->plumbed->prefix,
                                               ", expected ", prefix));
      }
    }
    const absl::Status carrier = CheckCarrier(found->interface);
    if (!carrier.ok()) {
      log->emplace_back("warn", "no carrier");
      return Availability::kDown;
    }
    return Availability::kUp;
  }

  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> Info() override {
    ASSIGN_OR_RETURN(const Address address, Resolve());
    ASSIGN_OR_RETURN(const std::string device, Device());
    std::vector<std::pair<std::string, std::string>> pairs = {
        {"ipaddr", address.text}, {"ipname", KeywordOr("ipname", "")}, {"ipdev", device}};
    const std::string mask = KeywordOr("netmask", "");
    if (!mask.empty()) {
      ASSIGN_OR_RETURN(const int prefix, ReadNetmask(mask, address));
      pairs.emplace_back("netmask", absl::StrCat(prefix));
    }
    return pairs;
  }

 private:
  std::string KeywordOr(absl::string_view keyword, absl::string_view fallback) const {
    const auto value = instance().settings.Get(resource().rid, keyword);
    return std::string(value.ok() && value->has_value() ? absl::string_view(**value) : fallback);
  }

  // `ipname` is an address, or a name that the host resolves; by a program, which can be given up
  // on. Asked once.
  absl::StatusOr<Address> Resolve() const {
    if (address_.has_value()) return *address_;
    ASSIGN_OR_RETURN(const std::optional<std::string> name,
                     instance().settings.Get(resource().rid, "ipname"));
    if (!name.has_value() || name->empty()) {
      return absl::InvalidArgumentError(absl::StrCat(resource().rid, ".ipname is not set"));
    }
    address_ = ParseAddress(*name);
    if (address_.has_value()) return *address_;
    if (absl::StartsWith(*name, "-")) {
      return absl::InvalidArgumentError(absl::StrCat(
          resource().rid, ".ipname: expected an address or a name, found \"", *name, "\""));
    }
    ASSIGN_OR_RETURN(const ToolOutput output,
                     RunTool(instance(), {"getent", "ahosts", *name}, kResolveLimit));
    std::optional<Address> first;
    for (const absl::string_view line : absl::StrSplit(output.out, '\n', absl::SkipEmpty())) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
      const std::optional<Address> address =
          words.empty() ? std::nullopt : ParseAddress(words.front());
      if (!address.has_value()) continue;
      if (!first.has_value()) first = address;
      if (address->family == AF_INET) {
        first = address;
        break;
      }
    }
    if (!output.result.Succeeded() || !first.has_value()) {
      return absl::NotFoundError(
          absl::StrCat("could not resolve name ", *name, ": ",
                       output.result.Succeeded() ? "no address" : output.Reason()));
    }
    address_ = first;
    return *first;
  }

  // `ipdev` without the alias that it may name.
  absl::StatusOr<std::string> Device() const {
    ASSIGN_OR_RETURN(const std::optional<std::string> text,
                     instance().settings.Get(resource().rid, "ipdev"));
    const std::string device = text.value_or("");
    if (device.empty() || absl::StartsWith(device, "-") ||
        device.find_first_of(" /\t") != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat(
          resource().rid, ".ipdev: expected the name of an interface, found \"", device, "\""));
    }
    if (absl::StrContains(device, '@')) {
      return absl::UnimplementedError(
          absl::StrCat(resource().rid, ".ipdev: interfaces made on others (\"", device,
                       "\") are not made by omcrm; set crm.command of node.conf to a resource "
                       "manager that does"));
    }
    return device.substr(0, device.find(':'));
  }

  // The label of an address for which `ipdev` names one ("eth0:1"), else empty.
  absl::StatusOr<std::string> AliasLabel(absl::string_view device) const {
    ASSIGN_OR_RETURN(const bool alias,
                     instance().settings.GetBoolean(resource().rid, "alias", true));
    const std::string text = KeywordOr("ipdev", "");
    return alias && text.size() > device.size() ? text : std::string();
  }

  absl::StatusOr<int> ReadNetmask(const std::string& text, const Address& address) const {
    const absl::StatusOr<int> prefix = ParseNetmask(text, address.max_prefix());
    if (!prefix.ok()) return Annotate(prefix.status(), absl::StrCat(resource().rid, ".netmask"));
    return *prefix;
  }

  // `netmask`, or that of the address of the interface which is in the same network.
  absl::StatusOr<int> Prefix(const Address& address, const Interface& interface) const {
    const std::string mask = KeywordOr("netmask", "");
    if (!mask.empty()) return ReadNetmask(mask, address);
    for (const Plumbed& other : interface.addresses) {
      if (other.prefix < address.max_prefix() &&
          SameNetwork(other.address, address, other.prefix)) {
        return other.prefix;
      }
    }
    return absl::FailedPreconditionError(
        absl::StrCat(resource().rid, ".netmask is not set, and ", interface.name,
                     " has no address in the network of ", address.text, " to take it from"));
  }

  absl::StatusOr<std::vector<Interface>> Interfaces() const {
    ASSIGN_OR_RETURN(const ToolOutput output,
                     RunTool(instance(), {"ip", "-j", "addr", "show"}, kToolLimit));
    if (!output.result.Succeeded()) {
      return absl::UnavailableError(absl::StrCat("ip addr show: ", output.Reason()));
    }
    absl::StatusOr<std::vector<Interface>> interfaces = ParseInterfaces(output.out);
    if (!interfaces.ok()) return Annotate(interfaces.status(), "ip -j addr show");
    return interfaces;
  }

  absl::Status Change(const std::vector<std::string>& argv) const {
    const std::string text = absl::StrJoin(argv, " ");
    Log(InstanceLog::Level::kInfo, absl::StrCat("exec ", text));
    ASSIGN_OR_RETURN(const ToolOutput output, RunTool(instance(), argv, kToolLimit));
    if (output.result.Succeeded()) return absl::OkStatus();
    return absl::AbortedError(absl::StrCat(text, ": ", output.Reason()));
  }

  absl::Status Remove(const Address& address, int prefix, const std::string& device) const {
    return Change({"ip", "addr", "del", absl::StrCat(address.text, "/", prefix), "dev", device});
  }

  absl::Status CheckCarrier(const Interface* interface) const {
    ASSIGN_OR_RETURN(const bool check,
                     instance().settings.GetBoolean(resource().rid, "check_carrier", true));
    if (!check || interface == nullptr || interface->carrier) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("interface ", interface->name, " has no carrier"));
  }

  // Nobody may have the address: asked first, as two hosts with it both lose their connections.
  absl::Status CheckUnused(const Address& address, const std::string& device) const {
    if (HasTag(resource(), "nonrouted")) return absl::OkStatus();
    absl::Status taken = absl::FailedPreconditionError(
        absl::StrCat("another host answers for ", address.text, ": not started"));
    const absl::StatusOr<ToolOutput> ping =
        RunTool(instance(), {"ping", "-q", "-c", "2", "-W", "1", address.text}, kPingLimit);
    if (ping.ok()) {
      if (ping->result.Succeeded()) return taken;
      // 1: no answer. Others: it could not ask, without a route for instance.
      if (ping->result.exit_code != 1 || ping->result.signal != 0) {
        Log(InstanceLog::Level::kInfo, absl::StrCat("ping ", address.text, ": ", ping->Reason()));
      }
    }
    if (!ping.ok() && !absl::IsNotFound(ping.status())) return ping.status();
    if (address.family == AF_INET) {
      const absl::StatusOr<ToolOutput> arping = RunTool(
          instance(), {"arping", "-D", "-q", "-c", "2", "-w", "3", "-I", device, address.text},
          kPingLimit);
      if (arping.ok()) {
        // Answered questions give 1.
        if (arping->result.exit_code == 1 && arping->result.signal == 0) return taken;
        return absl::OkStatus();
      }
      if (!absl::IsNotFound(arping.status())) return arping.status();
    }
    if (ping.ok()) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        "whether another host has ", address.text,
        " cannot be told without ping: install it, or tag the resource \"nonrouted\" to start it "
        "unasked"));
  }

  // An IPv6 address is of no use until the kernel has made sure that nobody else has it.
  absl::Status AwaitUsable(const Address& address, const std::string& device) const {
    const auto deadline = std::chrono::steady_clock::now() + kDetectionLimit;
    while (true) {
      ASSIGN_OR_RETURN(const std::vector<Interface> interfaces, Interfaces());
      const std::optional<Found> found = Find(interfaces, address);
      if (!found.has_value() || found->interface->name != device) {
        return absl::AbortedError(
            absl::StrCat("address ", address.text, " was added and is not on ", device));
      }
      if (found->plumbed->duplicate) {
        return absl::AbortedError(absl::StrCat("another host has ", address.text));
      }
      if (!found->plumbed->tentative) return absl::OkStatus();
      if (std::chrono::steady_clock::now() >= deadline) {
        return absl::AbortedError(absl::StrCat("address ", address.text,
                                               " is still tentative after ",
                                               kDetectionLimit.count() / 1000, " s"));
      }
      if (!instance().interrupt->Sleep(kPoll)) return instance().interrupt->ToStatus();
    }
  }

  // Neighbours learn where the address is now. Without arping they find out a little later.
  void Announce(const Address& address, const std::string& device) const {
    if (address.family != AF_INET || device == "lo") return;
    const absl::StatusOr<ToolOutput> output = RunTool(
        instance(), {"arping", "-U", "-q", "-c", "1", "-w", "2", "-I", device, address.text},
        kToolLimit);
    Log(InstanceLog::Level::kInfo,
        output.ok() ? absl::StrCat("announced ", address.text, " on ", device)
                    : absl::StrCat("not announced: ", output.status().message()));
  }

  absl::Status Misplaced(const Address& address, const Found& found) const {
    return absl::FailedPreconditionError(
        absl::StrCat("address ", address.text, " is on ", found.interface->name, ", not on ",
                     KeywordOr("ipdev", ""), ": it is left alone"));
  }

  mutable std::optional<Address> address_;  // What ipname has been resolved to.
};

}  // namespace

std::unique_ptr<ResourceDriver> MakeHostAddress(const Instance* instance,
                                                const ResourceSettings* resource) {
  return std::make_unique<HostAddress>(instance, resource);
}

}  // namespace om
