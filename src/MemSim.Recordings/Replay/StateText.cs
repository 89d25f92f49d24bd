using System.Globalization;
using System.Text;

namespace MemSim.Recordings.Replay;

/// <summary>The allocator's state around a frame, for people who look at a mismatch.</summary>
internal static class StateText
{
    private const int HeadsShown = 4;

    public static string Around(Machine machine, long pfn)
    {
        if (pfn < 0 || pfn >= machine.Frames.Count || machine.ZoneTable.ZoneOf((int)pfn) is not { } zone)
        {
            return "";
        }

        StringBuilder text = new();
        int head = machine.ZoneTable.BlockHeadOf((int)pfn, out int order);
        string what = head < 0 ? "in no block" : string.Create(CultureInfo.InvariantCulture,
            $"in the {(machine.Frames.FrameOf(head).RefCount > 0 ? "allocated" : machine.Frames.FrameOf(head).IsPcp ? "per-CPU" : "free")} block of order {order} at {head}");
        text.Append(CultureInfo.InvariantCulture, $"  pfn {pfn} is {what}; page block type {zone.PageblockType(new Pfn(pfn))}\n");
        text.Append(CultureInfo.InvariantCulture, $"  {zone}: free {zone.FreePages}, min {zone.GetWatermark(Watermark.Min)}, low {zone.GetWatermark(Watermark.Low)}, boost {zone.WatermarkBoost}, highatomic {zone.ReservedHighAtomicPages}\n");
        for (int o = 0; o < PageGeometry.OrderCount; o++)
        {
            for (MigrateType type = MigrateType.Unmovable; type <= MigrateType.Isolate; type++)
            {
                string heads = string.Join(' ', zone.FreeList(o, type).Take(HeadsShown).Select(p => p.Value));
                if (heads.Length != 0)
                {
                    text.Append(CultureInfo.InvariantCulture, $"  order {o} {type}: {heads} …\n");
                }
            }
        }

        return text.ToString();
    }
}
