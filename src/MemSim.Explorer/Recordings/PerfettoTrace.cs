using Google.Protobuf;

namespace MemSim.Explorer.Recordings;

/// <summary>Writes a timeline as a Perfetto trace (<c>perfetto.protos.Trace</c>): counter tracks that ui.perfetto.dev and trace_processor read.</summary>
/// <remarks>Only the fields used are named here; numbers are those of Perfetto's <c>trace_packet.proto</c>, <c>track_descriptor.proto</c> and <c>track_event.proto</c>.</remarks>
public static class PerfettoTrace
{
    private const int TracePacket = 1;
    private const int PacketTimestamp = 8;
    private const int PacketSequence = 10;
    private const int PacketTrackEvent = 11;
    private const int PacketSequenceFlags = 13;
    private const int PacketTrackDescriptor = 60;
    private const int TrackUuid = 1;
    private const int TrackName = 2;
    private const int TrackParent = 5;
    private const int TrackCounter = 8;
    private const int EventType = 9;
    private const int EventTrack = 11;
    private const int EventName = 23;
    private const int EventCounterValue = 30;
    private const int TypeInstant = 3;
    private const int TypeCounter = 4;
    private const ulong Sequence = 1;
    private const ulong Root = 1;
    private const ulong Differences = 2;

    private static readonly (string Name, Func<TimelineBucket, long?> Value)[] s_counters =
    [
        ("events", b => b.Events),
        ("pages allocated", b => b.PagesAllocated),
        ("pages freed", b => b.PagesFreed),
        ("pages in use since the start", b => b.Balance),
        ("free pages of the replay", b => b.FreePages),
        ("failed requests", b => b.Failed),
        ("fallbacks", b => b.Fallbacks),
        ("reclaim events", b => b.Reclaim),
    ];

    /// <summary>The bytes of the trace.</summary>
    public static byte[] Of(Timeline timeline, string name)
    {
        ArgumentNullException.ThrowIfNull(timeline);
        using MemoryStream bytes = new();
        using (CodedOutputStream trace = new(bytes, leaveOpen: true))
        {
            Packet(trace, p => Descriptor(p, Root, "MemSim: " + name, 0, isCounter: false), first: true);
            Packet(trace, p => Descriptor(p, Differences, "not as recorded", Root, isCounter: false));
            for (int i = 0; i < s_counters.Length; i++)
            {
                ulong uuid = 10 + (ulong)i;
                (string counter, _) = s_counters[i];
                Packet(trace, p => Descriptor(p, uuid, counter, Root, isCounter: true));
            }

            foreach (TimelineBucket bucket in timeline.Buckets)
            {
                for (int i = 0; i < s_counters.Length; i++)
                {
                    if (s_counters[i].Value(bucket) is { } value)
                    {
                        ulong uuid = 10 + (ulong)i;
                        Packet(trace, p => CounterEvent(p, bucket.StartNs, uuid, value));
                    }
                }

                if (bucket.Missed > 0)
                {
                    Packet(trace, p => InstantEvent(p, bucket.StartNs, $"{bucket.Missed} frames not predicted"));
                }
            }
        }

        return bytes.ToArray();
    }

    private static void Packet(CodedOutputStream trace, Action<CodedOutputStream> write, bool first = false) => Nested(trace, TracePacket, packet =>
    {
        write(packet);
        Number(packet, PacketSequence, Sequence);
        if (first)
        {
            // SEQ_INCREMENTAL_STATE_CLEARED: nothing before this packet matters.
            Number(packet, PacketSequenceFlags, 1);
        }
    });

    private static void Descriptor(CodedOutputStream packet, ulong uuid, string name, ulong parent, bool isCounter) => Nested(packet, PacketTrackDescriptor, track =>
    {
        Number(track, TrackUuid, uuid);
        track.WriteTag(TrackName, WireFormat.WireType.LengthDelimited);
        track.WriteString(name);
        if (parent != 0)
        {
            Number(track, TrackParent, parent);
        }

        if (isCounter)
        {
            Nested(track, TrackCounter, static _ => { });
        }
    });

    private static void CounterEvent(CodedOutputStream packet, long timeNs, ulong track, long value)
    {
        Number(packet, PacketTimestamp, (ulong)timeNs);
        Nested(packet, PacketTrackEvent, e =>
        {
            Number(e, EventType, TypeCounter);
            Number(e, EventTrack, track);
            e.WriteTag(EventCounterValue, WireFormat.WireType.Varint);
            e.WriteInt64(value);
        });
    }

    private static void InstantEvent(CodedOutputStream packet, long timeNs, string name)
    {
        Number(packet, PacketTimestamp, (ulong)timeNs);
        Nested(packet, PacketTrackEvent, e =>
        {
            Number(e, EventType, TypeInstant);
            Number(e, EventTrack, Differences);
            e.WriteTag(EventName, WireFormat.WireType.LengthDelimited);
            e.WriteString(name);
        });
    }

    private static void Number(CodedOutputStream output, int field, ulong value)
    {
        output.WriteTag(field, WireFormat.WireType.Varint);
        output.WriteUInt64(value);
    }

    private static void Nested(CodedOutputStream output, int field, Action<CodedOutputStream> write)
    {
        using MemoryStream bytes = new();
        using (CodedOutputStream inner = new(bytes, leaveOpen: true))
        {
            write(inner);
        }

        output.WriteTag(field, WireFormat.WireType.LengthDelimited);
        output.WriteBytes(ByteString.CopyFrom(bytes.GetBuffer(), 0, (int)bytes.Length));
    }
}
