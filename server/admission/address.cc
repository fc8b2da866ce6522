#include "server/admission/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace om {
namespace {

constexpr size_t kMappedPrefixBytes = 12;
constexpr std::array<uint8_t, kMappedPrefixBytes> kMappedPrefix = {0, 0, 0, 0, 0,    0,
                                                                   0, 0, 0, 0, 0xff, 0xff};

std::array<uint8_t, 16> Mapped(const in_addr& address) {
  std::array<uint8_t, 16> bytes;
  std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), bytes.begin());
  std::memcpy(bytes.data() + kMappedPrefixBytes, &address, sizeof(address));
  return bytes;
}

std::array<uint8_t, 16> Bytes(const in6_addr& address) {
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), &address, sizeof(address));
  return bytes;
}

}  // namespace

absl::StatusOr<PeerAddress> PeerAddress::FromSockaddr(const sockaddr* address, socklen_t length) {
  if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    return PeerAddress(Mapped(reinterpret_cast<const sockaddr_in*>(address)->sin_addr));
  }
  if (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    return PeerAddress(Bytes(reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr));
  }
  return absl::InvalidArgumentError(absl::StrCat("socket address of family ", address->sa_family,
                                                 " and ", length, " bytes is no IP address"));
}

absl::StatusOr<PeerAddress> PeerAddress::Parse(absl::string_view text) {
  const std::string whole(text);
  in_addr v4;
  if (whole.find('\0') == std::string::npos) {
    if (inet_pton(AF_INET, whole.c_str(), &v4) == 1) return PeerAddress(Mapped(v4));
    in6_addr v6;
    const std::string without_scope = whole.substr(0, whole.find('%'));
    if (inet_pton(AF_INET6, without_scope.c_str(), &v6) == 1) return PeerAddress(Bytes(v6));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", absl::CHexEscape(text.substr(0, 64)), "\" is not a numeric IP address"));
}

bool PeerAddress::is_ipv4() const {
  return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes_.begin());
}

std::string PeerAddress::ToString() const {
  char text[INET6_ADDRSTRLEN];
  if (is_ipv4()) {
    inet_ntop(AF_INET, bytes_.data() + kMappedPrefixBytes, text, sizeof(text));
  } else {
    inet_ntop(AF_INET6, bytes_.data(), text, sizeof(text));
  }
  return text;
}

AdmissionKey::AdmissionKey(const PeerAddress& address, bool is_cluster_node) : address_(address) {
  if (address.is_ipv4() || is_cluster_node) return;
  is_network_ = true;
  std::fill(address_.bytes_.begin() + 8, address_.bytes_.end(), uint8_t{0});
}

std::string AdmissionKey::ToString() const {
  return is_network_ ? absl::StrCat(address_.ToString(), "/64") : address_.ToString();
}

}  // namespace om
