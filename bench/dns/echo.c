/* The floor of the DNS benchmark: what a server pays for receiving and sending alone.
 *
 * Sends every datagram back with the QR bit set, in batches, from one thread.
 * Usage: echo PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { BATCH = 64, LARGEST = 512, QR_BYTE = 2, QR_BIT = 0x80 };

int main(int count, char **arguments)
{
    static unsigned char packets[BATCH][LARGEST];
    static struct sockaddr_in sources[BATCH];
    static struct iovec buffers[BATCH];
    static struct mmsghdr messages[BATCH];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int bound = socket(AF_INET, SOCK_DGRAM, 0);

    if (count != 2) {
        fprintf(stderr, "usage: echo PORT\n");
        return 2;
    }
    address.sin_port = htons((unsigned short)atoi(arguments[1]));
    if (bound < 0 || bind(bound, (struct sockaddr *)&address, sizeof address) < 0) {
        perror("echo");
        return 1;
    }
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            buffers[i] = (struct iovec){packets[i], LARGEST};
            messages[i].msg_hdr = (struct msghdr){.msg_name = &sources[i],
                                                  .msg_namelen = sizeof sources[i],
                                                  .msg_iov = &buffers[i],
                                                  .msg_iovlen = 1};
        }
        int received = recvmmsg(bound, messages, BATCH, MSG_WAITFORONE, NULL);
        for (int i = 0; i < received; i++) {
            packets[i][QR_BYTE] |= QR_BIT;
            buffers[i].iov_len = messages[i].msg_len;
        }
        for (int sent = 0; sent < received;) {
            int more = sendmmsg(bound, messages + sent, received - sent, 0);
            sent += more > 0 ? more : 1; /* one that cannot be sent is lost, as on any server */
        }
    }
}
