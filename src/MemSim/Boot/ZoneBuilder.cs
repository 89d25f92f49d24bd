using MemSim.PageAllocation;
using MemSim.Zones;

namespace MemSim.Boot;

/// <summary>Makes a machine's zones and the orders in which they are searched, from its blueprint.</summary>
internal sealed class ZoneBuilder(Machine machine, MachineBlueprint blueprint)
{
    public void BuildZones()
    {
        foreach (Node node in machine.Nodes)
        {
            node.Distances = Distances(node);
            for (int index = 0; index < machine.Architecture.ZoneTypes.Count; index++)
            {
                ZoneType type = machine.Architecture.ZoneTypes[index];
                Zone zone = new(node, type, index, machine.Zones.Count, machine.ZoneTable.PageblockOrder, machine.Frames.Map, machine.Frames.Map.TakeListHeads(FreeArea.ListHeads), blueprint.Personality.Allocator, blueprint.Parallel)
                {
                    Reserve = new long[machine.Architecture.ZoneTypes.Count],
                };
                ZoneBlueprint? plan = blueprint.Zones.FirstOrDefault(z => z.Node == node.Id && z.Type == type);
                if (plan is not null)
                {
                    zone.StartPfn = new Pfn(plan.StartPfn);
                    zone.SpannedPages = plan.SpannedPages;
                    zone.PresentPages = plan.PresentPages;
                    zone.ManagedPages = plan.ManagedPages;
                    zone.FirstPageblock = plan.StartPfn >> machine.ZoneTable.PageblockOrder;
                    zone.PageblockTypes = new byte[PageblocksTouched(plan)];
                    Array.Fill(zone.PageblockTypes, (byte)MigrateType.Movable);
                    foreach ((long start, long end) in plan.Ranges.Count != 0 ? plan.Ranges : [(plan.StartPfn, plan.StartPfn + plan.SpannedPages)])
                    {
                        machine.ZoneTable.AddPresentRange(new PresentRange(start, end, zone));
                    }
                }

                zone.Pcp = [.. machine.Cpus.Select(cpu => new PerCpuPages(zone, cpu.Id, cpu.Node == node, machine.Frames.Array, machine.Frames.Map.TakeListHeads(PerCpuPages.Lists)))];
                zone.Lock.Watch(machine.Interleaver?.Watch("Zone.Lock"));
                foreach (PerCpuPages pcp in zone.Pcp)
                {
                    pcp.Lock.Watch(machine.Interleaver?.Watch("PerCpuPages.Lock"));
                }

                machine.ZoneTable.Add(zone);
                node.Add(zone);
            }

            foreach (Cpu cpu in machine.Cpus.Where(c => c.Node == node))
            {
                node.Add(cpu);
            }
        }
    }

    private long PageblocksTouched(ZoneBlueprint plan) =>
        plan.SpannedPages == 0 ? 0 : ((plan.StartPfn + plan.SpannedPages - 1) >> machine.ZoneTable.PageblockOrder) - (plan.StartPfn >> machine.ZoneTable.PageblockOrder) + 1;

    private int[] Distances(Node node)
    {
        IReadOnlyList<int> given = blueprint.Nodes.First(n => n.Id == node.Id).Distances;
        int highest = blueprint.Nodes.Max(n => n.Id);
        int[] distances = new int[highest + 1];
        for (int i = 0; i <= highest; i++)
        {
            distances[i] = i < given.Count ? given[i] : i == node.Id ? 10 : 20;
        }

        return distances;
    }

    public void BuildZonelists()
    {
        foreach (Node node in machine.Nodes)
        {
            node.FallbackOrder = blueprint.Nodes.First(n => n.Id == node.Id).FallbackOrder;
        }

        ZonelistBuilder.Fill(machine);
    }
}
